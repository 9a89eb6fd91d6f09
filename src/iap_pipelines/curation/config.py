"""Settings of a run: every stage, threshold and model, strictly checked. `curation.yaml` says the same in words."""

from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError

from iap_pipelines.curation.gates import Thresholds
from iap_pipelines.curation.link import LinkSettings
from iap_pipelines.curation.pair import PairSettings
from iap_pipelines.curation.stage import Stage
from iap_pipelines.curation.stages.clips import CutClips
from iap_pipelines.curation.stages.describe import Describe
from iap_pipelines.curation.stages.faces import FindFaces
from iap_pipelines.curation.stages.lips import WatchLips
from iap_pipelines.curation.stages.match import MatchVoices
from iap_pipelines.curation.stages.probe import Probe
from iap_pipelines.curation.stages.shots import FindShots
from iap_pipelines.curation.stages.speech import FindSpeech
from iap_pipelines.curation.stages.technical import MeasureTechnical
from iap_pipelines.curation.stages.transcribe import Transcribe
from iap_pipelines.curation.stages.write import Write


class StrictModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageSettings(StrictModel):
    """The stages in the order in which they run."""

    probe: Probe = Field(default_factory=Probe)
    shots: FindShots = Field(default_factory=FindShots)
    speech: FindSpeech = Field(default_factory=FindSpeech)
    clips: CutClips = Field(default_factory=CutClips)
    technical: MeasureTechnical = Field(default_factory=MeasureTechnical)
    faces: FindFaces = Field(default_factory=FindFaces)
    lips: WatchLips = Field(default_factory=WatchLips)
    match: MatchVoices = Field(default_factory=MatchVoices)
    transcribe: Transcribe = Field(default_factory=Transcribe)
    describe: Describe = Field(default_factory=Describe)
    write: Write = Field(default_factory=Write)

    def in_order(self) -> list[Stage]:
        return [getattr(self, name) for name in type(self).model_fields]


class RunSettings(StrictModel):
    """How sources are worked on; nothing here changes a result."""

    timeout_seconds: PositiveFloat = 1800.0
    """Longest time for one source; a worker that takes longer is ended."""
    early_exit: bool = False
    """Clips that do not pass a gate are not measured further. Saves time where most material is rejected; a threshold
    that is loosened later then calls models for the clips that it lets through."""


class CurationConfig(StrictModel):
    """All settings of `iap curate`.

    Example:
        >>> CurationConfig.from_dict({"gates": {"min_clip_seconds": 3}}).gates.min_clip_seconds
        3.0
    """

    stages: StageSettings = Field(default_factory=StageSettings)
    gates: Thresholds = Thresholds()
    link: LinkSettings = LinkSettings()
    pair: PairSettings = PairSettings()
    run: RunSettings = RunSettings()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read settings; what is not given is as in the packaged file.

        Raises:
            ValueError: for an unknown key or a value of another kind; one line that names each.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            wrong = "; ".join(f"`{'.'.join(map(str, found['loc']))}`: {found['msg']}" for found in error.errors())
            raise ValueError(f"The configuration is wrong: {wrong}.") from error

    @classmethod
    def from_yaml(cls, path: str | Path) -> Self:
        """Read a YAML file.

        Raises:
            FileNotFoundError: when there is none.
            ValueError: for what is not YAML, an unknown key, or a value of another kind.
        """
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
        if not isinstance(values, dict):
            raise ValueError(f"{path} must hold settings by name, but holds {type(values).__name__}.")
        return cls.from_dict(values)


def write_packaged_yaml(path: Path) -> Path:
    """Write the default settings with an explanation of each.

    Raises:
        FileExistsError: rather than overwrite a file.
    """
    with open(path, "x", encoding="utf-8") as file:
        file.write((files("iap_pipelines.curation") / "curation.yaml").read_text(encoding="utf-8"))
    return path
