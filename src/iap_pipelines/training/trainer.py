"""The training loop. Everything random is a function of seed and step (`steps.py`), so resuming restores weights,
optimizer and averages, and goes on with the next step."""

import copy
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from torch import Tensor
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader

from iap_pipelines.data.clip_folder import ClipEntry, read_clips, read_identities
from iap_pipelines.data.conditions import ConditionDropout
from iap_pipelines.data.latent_store import LatentStore
from iap_pipelines.data.order import DataOrder
from iap_pipelines.data.training_dataset import IdentityClipDataset, SampleSettings
from iap_pipelines.training.checkpoint import (
    checkpoint_path,
    latest_checkpoint,
    load_checkpoint,
    load_optimizer_state,
    prune_checkpoints,
    remove_partial_checkpoints,
    save_checkpoint,
    split_optimizer_state,
    with_prefix,
)
from iap_pipelines.training.config import TrainingConfig
from iap_pipelines.training.ema import WeightAverage
from iap_pipelines.training.initial_model import initial_model
from iap_pipelines.training.lora import add_adapter, apply_audio_weight
from iap_pipelines.training.memory import MemoryNeed, peak_memory
from iap_pipelines.training.metrics_log import MetricsLog
from iap_pipelines.training.optimizer import MuonWithAdam
from iap_pipelines.training.parts import is_layer_matrix, part_of, select_trainable
from iap_pipelines.training.results import METRICS_FILE, Publish, RunResults
from iap_pipelines.training.schedules import ema_decay_at, learning_rate_factor
from iap_pipelines.training.sharding import fill_outline, move_to_device, outline, placed_like, whole
from iap_pipelines.training.steps import MicroBatch, TrainingSteps
from iap_pipelines.training.trackers import flat_settings, show_pictures
from iap_pipelines.training.training_model import FlowLosses, IAPTrainingModel
from iap_pipelines.training.validation import Validator, validation_settings


logger = logging.getLogger(__name__)


class Trainer:
    """
    One run: continues from the newest checkpoint in its output folder, or begins.

    Args:
        config: of the run.
        accelerator: where and over how many processes it runs; made from the config if not given.
        publish: uploads the result to the Hub, which `push_to_hub` asks for. This room knows no Hub; doors give
            `publish_folder`.

    Raises:
        ValueError: for a config that does not fit the data, the folder or the number of processes.
    """

    def __init__(
        self, config: TrainingConfig, accelerator: Accelerator | None = None, publish: Publish | None = None
    ) -> None:
        self.config = config
        self._publish = publish
        self.output = Path(config.output)
        self.accelerator = accelerator or make_accelerator(config)
        clips = read_clips(Path(config.data.folder))
        self.model, self.tokenizer = initial_model(
            config.model,
            [clip.caption for clip in clips if clip.split == config.data.split]
            + [ConditionDropout.generic_appearance],
            config.data.caption_length,
            config.seed,
        )
        self._prepare_model()
        self._prepare_data(clips)
        self.next_step = 0
        self._resume()

    def run(self, stop_at: int | None = None) -> None:
        """
        Train to the last step, then write a checkpoint and export.

        Args:
            stop_at: steps in total after which to end sooner, on the schedule of the whole run; nothing is learned if
                the run is there already. The Hub gets finished runs alone.

        Raises:
            ValueError: if `stop_at` is below 1.
        """
        if stop_at is not None and stop_at < 1:
            raise ValueError(f"`stop_at` must be at least 1 step, but got {stop_at}.")
        self._begin()
        first_step, started = self.next_step, time.process_time()
        last = self.config.optimization.steps
        steps = range(first_step, last if stop_at is None else min(stop_at, last))
        loader = DataLoader(self.steps, sampler=steps, batch_size=None, num_workers=self.config.data.num_workers)
        for step, micro_batches in zip(steps, loader, strict=True):
            metrics = self.train_step(step, micro_batches)
            self.next_step = step + 1
            self._after_step(step, metrics, is_last=self.next_step == steps.stop)
        seconds = time.process_time() - started
        logger.info("%d steps took %.1f s of processor time in this process", self.next_step - first_step, seconds)
        self._finish()

    def train_step(self, step: int, micro_batches: list[MicroBatch]) -> dict[str, Tensor]:
        """
        One optimizer step.

        Args:
            step: from 0; decides learning rate and averaging.
            micro_batches: of this process.

        Returns:
            Losses and the length of the gradient, this process's share.
        """
        settings = self.config.optimization
        self._set_learning_rate(step)
        totals: dict[str, Tensor] = {}
        for index, micro_batch in enumerate(micro_batches):
            is_last = index == len(micro_batches) - 1
            synced = nullcontext() if is_last else self.accelerator.no_sync(self.wrapped)
            with synced, fast_attention(self.accelerator):
                batch, noise = move_to_device(micro_batch, self.accelerator.device)
                with self.accelerator.autocast():  # which FSDP2 does without otherwise
                    losses = self._weighted(self.wrapped(batch, noise))
                self.accelerator.backward(sum(losses.values()) / len(micro_batches))
            for name, loss in losses.items():
                totals[name] = totals.get(name, 0) + loss.detach() / len(micro_batches)
        totals["grad_norm"] = self.accelerator.clip_grad_norm_(self.learning.values(), settings.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(ema_decay_at(step, settings.ema_decay))
        return totals

    def save(self) -> None:
        """Write a checkpoint of everything the next step depends on."""
        tensors = {name: whole(tensor) for name, tensor in self._saved_weights().items()}
        averages = {name: whole(tensor) for name, tensor in self.average.averages.items()}
        moments, optimizer_state = split_optimizer_state(self._plain_optimizer)
        moments = {name: whole(tensor) for name, tensor in moments.items()}
        if self.accelerator.is_main_process:
            save_checkpoint(
                checkpoint_path(self._checkpoints, self.next_step),
                with_prefix("model", tensors) | with_prefix("average", averages) | with_prefix("optimizer", moments),
                {"next_step": self.next_step, "optimizer": optimizer_state},
            )
            prune_checkpoints(self._checkpoints, self.config.run.keep_checkpoints)
        self.accelerator.wait_for_everyone()

    def export(self) -> None:
        """
        Write the pipeline folder, or the adapter, with the averaged weights. Every process has to call it; the main
        one writes.
        """
        if self.results is None:
            return
        with self._averaged_model() as model:
            if model is not None:
                self.results.write(model)
        self.accelerator.wait_for_everyone()

    # --- Parts ------------------------------------------------------------------------------------------------------

    def _prepare_model(self) -> None:
        settings = self.config.optimization
        if settings.gradient_checkpointing:
            self.model.transformer.enable_gradient_checkpointing()
        if self.config.lora is not None:
            if self._is_sharded:
                raise ValueError("`lora` was not made for FSDP: launch it with training/accelerate/ddp.yaml.")
            add_adapter(self.model, self.config.lora, self.config.seed)
        select_trainable(self.model, self.config.stage.trainable)
        # A dropout layer (the published text encoder has some) would draw from a state that no checkpoint holds.
        self.model.eval()
        self._outline = outline(self.model)
        self.model.runs_conditions_along = self._is_sharded
        self.model.exchange_draws = self.config.flow.exchange_draws
        self.model.exchange_margins = self.config.flow.exchange_margins
        self.model.exchange_ends = self.config.flow.exchange_ends
        if settings.optimizer == "muon":
            if self._is_sharded:
                raise ValueError("`optimizer` must be 'adamw' with FSDP, got 'muon', which needs whole matrices.")
            optimizer = MuonWithAdam(self._parameter_groups(), betas=settings.betas)
        else:
            optimizer = torch.optim.AdamW(self._parameter_groups(), betas=settings.betas, fused=True)
        if settings.compile:
            # What a layer is asked for and how long its references are makes about 15 graphs, then no more. At torch's
            # limit of 8 every layer would run without compilation from there on.
            torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
            self.model.transformer.compile_repeated_blocks()
        self.wrapped, self.optimizer = self.accelerator.prepare(self.model, optimizer)
        unwrapped = self.accelerator.unwrap_model(self.wrapped)
        self.learning = {name: p for name, p in unwrapped.named_parameters() if p.requires_grad}
        self.average = WeightAverage(self.learning.items())

    def _parameter_groups(self) -> list[dict[str, Any]]:
        settings = self.config.optimization
        groups: dict[tuple[bool, ...], dict[str, Any]] = {}
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                is_text, is_matrix = part_of(name) == "text_encoder", parameter.ndim > 1
                is_orthogonal = settings.optimizer == "muon" and is_layer_matrix(name, parameter)
                rate = (is_text and settings.text_encoder_learning_rate) or settings.learning_rate
                decay = settings.weight_decay if is_matrix else 0.0
                new = {"params": [], "lr": rate, "base_lr": rate, "weight_decay": decay, "orthogonal": is_orthogonal}
                groups.setdefault((is_text, is_matrix, is_orthogonal), new)["params"].append(parameter)
        return list(groups.values())

    def _prepare_data(self, clips: list[ClipEntry]) -> None:
        data = self.config.data
        identities = read_identities(Path(data.folder))
        latents = LatentStore(Path(data.latents))

        def times_an_epoch(clip: ClipEntry) -> int:
            return 1 if data.num_subjects is None else data.num_subjects.count(len(clip.identities))

        def wanted(split: str) -> list[ClipEntry]:
            return [clip for clip in clips if clip.split == split and times_an_epoch(clip)]

        learned = wanted(data.split)
        self.dataset = IdentityClipDataset(
            [clip for clip in learned for _ in range(times_an_epoch(clip))],
            identities,
            latents,
            SampleSettings(
                target=self.config.stage.target,
                num_draws=self.config.flow.num_draws,
                num_views=data.num_views,
                voice_latents=data.voice_latents,
                dropout=ConditionDropout(**data.dropout.model_dump()),
                references=data.references,
                anchors=data.anchors,
                ordered_slots=data.ordered_slots,
                silent_companions=data.silent_companions,
                exchanges=self.config.flow.exchange_weight > 0,
            ),
        )
        lora = self.config.lora
        if lora is not None and any(len(clip.identities) > 1 for clip in learned):
            raise ValueError("`lora` learns from clips with one person each: give `num_subjects: [1]`.")
        settings = self.config.optimization
        self.steps = TrainingSteps(
            self.dataset,
            DataOrder(self.dataset.buckets(), settings.batch_size, self.config.seed),
            self.tokenizer,
            flow=self.config.flow,
            caption_length=data.caption_length,
            seed=self.config.seed,
            micro_batch_size=settings.micro_batch_size,
            rank=self.accelerator.process_index,
            num_processes=self.accelerator.num_processes,
            # An adapter of references would have no gradient where a micro-batch has none.
            pads_references=self._is_sharded or self.model.reference_adapter is not None,
        )
        self.results = None
        if self.config.export is not None or self.config.lora is not None:
            self.results = RunResults(self.config, self.tokenizer, learned, self.learning, self._publish)
        self.validator = None
        if self.config.validation is not None:
            if self.results is None:
                raise ValueError("`validation` needs `export`, which says where the codecs are.")
            held_out = wanted(data.validation_split)
            dataset = IdentityClipDataset(held_out, identities, latents, validation_settings(self.config))
            self.validator = Validator(dataset, self.config, self.tokenizer, self.output / "validation")

    def _resume(self) -> None:
        path = latest_checkpoint(self._checkpoints)
        if path is None:
            return
        checkpoint = load_checkpoint(path)
        weights = checkpoint.group("model")
        with torch.no_grad():
            for name, tensor in self._saved_weights().items():
                tensor.copy_(placed_like(weights[name], tensor))
        averages = self.average.averages
        self.average.load({n: placed_like(t, averages[n]) for n, t in checkpoint.group("average").items()})
        self._load_moments(checkpoint.group("optimizer"), checkpoint.state["optimizer"])
        self.next_step = checkpoint.state["next_step"]
        logger.info("continuing %s at step %d", path, self.next_step)

    def _saved_weights(self) -> dict[str, Tensor]:
        """What a checkpoint holds: everything, or an adapter alone, whose base stays where it is."""
        weights = self.accelerator.unwrap_model(self.wrapped).state_dict()
        if self.config.lora is None:
            return weights
        return {name: tensor for name, tensor in weights.items() if name in self.learning}

    def _load_moments(self, moments: Mapping[str, Tensor], state: Mapping) -> None:
        parameters = [p for group in self._plain_optimizer.param_groups for p in group["params"]]
        placed = {}
        for name, tensor in moments.items():
            parameter = parameters[int(name.split("/")[0])]
            placed[name] = placed_like(tensor, parameter) if tensor.shape == parameter.shape else tensor
        load_optimizer_state(self._plain_optimizer, placed, state)

    @property
    def _plain_optimizer(self) -> torch.optim.Optimizer:
        return getattr(self.optimizer, "optimizer", self.optimizer)

    @property
    def _is_sharded(self) -> bool:
        return self.accelerator.distributed_type == DistributedType.FSDP

    @property
    def _checkpoints(self) -> Path:
        return self.output / "checkpoints"

    # --- During the run ---------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.metrics = None
        if self.accelerator.is_main_process:
            self.output.mkdir(parents=True, exist_ok=True)
            remove_partial_checkpoints(self._checkpoints)
            text = yaml.safe_dump(self.config.model_dump(mode="json"), sort_keys=False)
            (self.output / "config.yaml").write_text(text)
            self.metrics = MetricsLog(self.output / METRICS_FILE, self.next_step)
        if self.config.run.trackers:
            self.accelerator.init_trackers("iap", config=flat_settings(self.config.model_dump(mode="json")))
        logger.info("memory per process: %s", MemoryNeed.of(self.model.parameters()))

    def _set_learning_rate(self, step: int) -> None:
        s = self.config.optimization
        factor = learning_rate_factor(step, s.steps, s.warmup_steps, s.schedule, s.final_fraction)
        for group in self._plain_optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor

    def _weighted(self, losses: FlowLosses) -> dict[str, Tensor]:
        flow = self.config.flow
        weights = {
            "video": flow.video_weight,
            "audio": flow.audio_weight,
            "motion": flow.motion_weight,
            "exchange": flow.exchange_weight,
        }
        return {
            f"{name}_loss": weights[name] * loss.mean()
            for name, loss in losses._asdict().items()
            if loss is not None and weights[name] > 0
        }

    def _after_step(self, step: int, metrics: dict[str, Tensor], is_last: bool) -> None:
        run, done = self.config.run, step + 1
        if done % run.log_every == 0:
            self._log(step, metrics)
        if run.export_every and done % run.export_every == 0:
            self.export()
        if self.validator is not None and done % self.config.validation.every == 0:
            self._validate(done)
        # Last, so that what a kill interrupts is done again.
        if done % run.checkpoint_every == 0 or is_last:
            self.save()

    def _log(self, step: int, metrics: dict[str, Tensor]) -> None:
        reduced = {name: self.accelerator.reduce(whole(value), "mean").item() for name, value in metrics.items()}
        reduced["learning_rate"] = self._plain_optimizer.param_groups[0]["lr"]
        if self.metrics is not None:
            self.metrics.append(step, reduced)
        self.accelerator.log(reduced, step=step)

    def _validate(self, done: int) -> None:
        with self._averaged_model() as model:
            if model is not None:
                show_pictures(self.accelerator.trackers, self.validator.run(self.results.pipeline(model), done), done)
        self.accelerator.wait_for_everyone()

    @contextmanager
    def _averaged_model(self) -> Iterator[IAPTrainingModel | None]:
        """The model as it is exported: with averaged weights, whole, in the main process; `None` in the others."""
        if not self._is_sharded:
            with self.average.applied():  # which puts back everything that learns
                if self.config.lora is not None:
                    apply_audio_weight(self.model, self.config.lora)
                yield self.model if self.accelerator.is_main_process else None
            return
        tensors = self.accelerator.unwrap_model(self.wrapped).state_dict() | self.average.averages
        tensors = {name: whole(tensor) for name, tensor in tensors.items()}
        is_main = self.accelerator.is_main_process
        yield fill_outline(copy.deepcopy(self._outline), tensors, self.accelerator.device) if is_main else None

    def _finish(self) -> None:
        self.export()
        is_whole = self.next_step == self.config.optimization.steps
        if is_whole and self.results is not None and self.accelerator.is_main_process:
            self.results.upload()
        self.accelerator.end_training()
        logger.info("most memory held: %s", peak_memory(self.accelerator.device))


def fast_attention(accelerator: Accelerator) -> AbstractContextManager:
    """
    Context in which attention of bf16 on a CPU is made of matrix products: where the CPU has AVX512-BF16 those are
    faster than in float32, while torch 2.14's fused kernel is slower backwards. Other devices and float32 keep it.
    """
    is_slow = accelerator.device.type == "cpu" and accelerator.mixed_precision == "bf16"
    return sdpa_kernel(SDPBackend.MATH) if is_slow else nullcontext()


def make_accelerator(config: TrainingConfig) -> Accelerator:
    """The accelerator that a config asks for; the launcher decides about processes and sharding."""
    # A batch may have no faces, or one tower may not run: then some parameters see no gradient.
    ddp = DistributedDataParallelKwargs(find_unused_parameters=True)
    accelerator = Accelerator(
        mixed_precision=config.optimization.mixed_precision,
        log_with=list(config.run.trackers) or None,
        project_dir=str(Path(config.output) / "logs"),
        kwargs_handlers=[ddp],
    )
    if accelerator.mixed_precision not in ("no", "bf16"):
        raise ValueError(
            f"`mixed_precision` must be 'no' or 'bf16', but the launcher asks for {accelerator.mixed_precision!r}."
        )
    if accelerator.is_fsdp2 and accelerator.mixed_precision == "bf16":
        # accelerate's policy casts inputs and outputs, too: noise levels, targets and losses would be rounded. Here
        # weights come in bf16, autocast does the rest as with DDP, and gradients add up in float32.
        accelerator.state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy(
            param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    return accelerator
