"""Where a film is cut (PySceneDetect)."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from iap_pipelines.curation.records import Shot, Source, content_id
from iap_pipelines.curation.stage import Known, SourceFile, Stage
from iap_pipelines.media import iterate_frames


@dataclass(kw_only=True)
class FindShots(Stage):
    """Splits a source where a picture differs from the one before much more than its neighbours do.

    Pictures are counted and looked up in the file's own times, so that uneven rates are exact. Cuts that are missed
    here are found again by faces that change (`ClipFaces.missed_cut_seconds`).
    """

    name = "shots"
    version = 2
    unit = SourceFile
    reads = (Source,)
    adds = (Shot,)

    adaptive_threshold: float = 3.0
    """How many times the change of the neighbouring pictures a cut is."""
    min_content_change: float = 15.0
    """Smallest change of hue, saturation and luma that can be a cut, 0 to 255."""
    min_shot_seconds: float = 0.5
    """Shorter shots join the next one."""
    short_side: int = 144
    """Pixels of the pictures that are looked at."""

    def setup(self) -> None:
        _import_scenedetect()

    @property
    def models(self) -> dict[str, str]:
        return {"detector": f"scenedetect {_import_scenedetect().__version__}"}

    def process(self, unit: SourceFile, known: Known) -> Iterable[Shot]:
        source = known.one(Source)
        cuts, times = self._find_cuts(known, source.source_frame_rate)
        edges = [0.0, *(times[cut] for cut in cuts), source.duration_seconds]
        for index, (start, end) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
            yield Shot(
                shot_id=content_id(source.source_id, "shot", start, end),
                source_id=source.source_id,
                shot_index=index,
                start_seconds=start,
                end_seconds=end,
            )

    def _find_cuts(self, known: Known, frame_rate: float) -> tuple[list[int], list[float]]:
        """Numbers of the pictures that begin a shot, and the time of every picture."""
        scenedetect = _import_scenedetect()
        detector = scenedetect.detectors.AdaptiveDetector(
            adaptive_threshold=self.adaptive_threshold,
            min_content_val=self.min_content_change,
            min_scene_len=max(1, round(self.min_shot_seconds * frame_rate)),
        )
        times, cuts = [], []
        for index, (time, picture) in enumerate(iterate_frames(known.file, short_side=self.short_side)):
            times.append(time)
            timecode = scenedetect.FrameTimecode(index, fps=float(frame_rate))
            cuts += detector.process_frame(timecode, np.ascontiguousarray(picture[..., ::-1]))
        return [cut.frame_num for cut in cuts], times


def _import_scenedetect() -> "scenedetect":  # noqa: F821
    try:
        import scenedetect
        import scenedetect.detectors
    except ImportError as error:
        raise ImportError(
            f"Shots are found with scenedetect ({error}): pip install 'iap-pipelines[curation]'."
        ) from error
    return scenedetect
