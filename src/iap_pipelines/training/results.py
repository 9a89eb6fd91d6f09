"""What a run leaves behind: a pipeline folder or an adapter, with its card."""

import logging
from collections.abc import Callable, Collection
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from iap_pipelines.data.clip_folder import ClipEntry
from iap_pipelines.identity_card import CONSENT_FILE
from iap_pipelines.pipelines.pipeline_iap import IAPPipeline
from iap_pipelines.training.config import TrainingConfig
from iap_pipelines.training.export import build_pipeline, check_replaceable, export_pipeline
from iap_pipelines.training.lora import save_adapter
from iap_pipelines.training.model_card import RunFacts, read_metrics, write_model_card
from iap_pipelines.training.training_model import IAPTrainingModel


logger = logging.getLogger(__name__)

Publish = Callable[[Path, str], str]
"""Uploads a folder to a repository and returns the address of the commit."""
METRICS_FILE = "metrics.jsonl"


class RunResults:
    """
    Writes the result of a run.

    Args:
        config: of the run; has `export` or `lora`.
        tokenizer: of captions.
        clips: that are learned.
        learning: names of the parameters that learn.
        publish: uploads a folder to a repository; needed if the config says `push_to_hub`.

    Raises:
        ValueError: if it is needed and not there, or if the folder of a pipeline holds something else.
    """

    def __init__(
        self,
        config: TrainingConfig,
        tokenizer: PreTrainedTokenizerBase,
        clips: Collection[ClipEntry],
        learning: Collection[str],
        publish: Publish | None = None,
    ) -> None:
        self.config, self.tokenizer, self.clips, self.learning = config, tokenizer, clips, learning
        self.settings = config.export if config.lora is None else config.lora
        self.publish = publish
        if self.settings.push_to_hub and publish is None:
            raise ValueError(
                "`push_to_hub` needs `publish`: give `Trainer(config, publish=publish_folder)`, which is in "
                "iap_pipelines.hub.publishing."
            )
        output = Path(config.output)
        self.folder = Path(self.settings.folder or output / ("pipeline" if config.lora is None else "lora"))
        if config.lora is None:
            check_replaceable(self.folder)
        self._metrics = output / METRICS_FILE

    def pipeline(self, model: IAPTrainingModel) -> IAPPipeline:
        """The pipeline that a model is part of, in float32."""
        if self.config.lora is None:
            return build_pipeline(model, self.tokenizer, self.config.export, self.config.data.caption_length)
        parts = {"transformer": model.transformer, "text_encoder": model.text_encoder, "tokenizer": self.tokenizer}
        return IAPPipeline.from_pretrained(self.config.model.folder, dtype=torch.float32, **parts)

    def write(self, model: IAPTrainingModel) -> None:
        """Write the folder and its card."""
        if self.config.lora is None:
            export_pipeline(self.pipeline(model), self.folder, getattr(torch, self.config.export.dtype))
        else:
            save_adapter(model.transformer, self.config.lora, self.folder)
            if self.config.lora.consent is not None:
                (self.folder / CONSENT_FILE).write_text(self.config.lora.consent.to_json(), encoding="utf-8")
        facts = RunFacts(
            clips=tuple(self.clips),
            num_parameters=sum(parameter.numel() for parameter in model.parameters()),
            num_learning=sum(model.get_parameter(name).numel() for name in self.learning),
            metrics=read_metrics(self._metrics),
        )
        write_model_card(self.folder, self.config, facts)
        logger.info("exported %s", self.folder)

    def upload(self) -> None:
        """Publish the folder, if the config says where to."""
        if self.settings.push_to_hub:
            logger.info("published %s", self.publish(self.folder, self.settings.push_to_hub))
