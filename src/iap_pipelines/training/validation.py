"""Pictures and sounds of held-out people during a run.

One tower alone is sampled here with Euler steps; both together go through the pipeline, as a user would.
"""

import wave
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from iap_pipelines.data.conditions import ConditionDropout
from iap_pipelines.data.training_dataset import IdentityClipDataset, SampleSettings, TrainingBatch, collate
from iap_pipelines.media import export_to_av
from iap_pipelines.pipelines.pipeline_iap import IAPPipeline
from iap_pipelines.training.config import TrainingConfig
from iap_pipelines.training.flow_matching import euler_sigmas, euler_step, sample_noise
from iap_pipelines.training.training_model import IAPTrainingModel
from iap_pipelines.types import Subject


@torch.no_grad()
def sample_latents(
    model: IAPTrainingModel, batch: TrainingBatch, num_steps: int, shift: float, seed: int
) -> tuple[Tensor | None, Tensor | None]:
    """
    Generate latents under the conditions of a batch, one or both towers, without guidance.

    Args:
        model: to sample from.
        batch: gives conditions, and the shapes of what is generated; one draw per sample.
        num_steps: Euler steps.
        shift: of the noise levels.
        seed: of the noise.

    Returns:
        Video latents `[B, C, F, h, w]` and audio latents `[B, L, C_audio]`; `None` for what the batch does not have.
    """
    generator = np.random.default_rng(seed)
    video = None if batch.video is None else sample_noise(batch.video.shape, generator).to(batch.video)
    audio = None if batch.audio is None else sample_noise(batch.audio.shape, generator).to(batch.audio)
    sigmas = euler_sigmas(num_steps, shift).tolist()
    for pair in zip(sigmas, sigmas[1:], strict=False):
        level = torch.full((len(batch.input_ids),), pair[0], device=batch.input_ids.device)
        levels = (None if video is None else level, None if audio is None else level)
        velocity, audio_velocity = model.predict(batch, video, audio, *levels)
        video = None if video is None else euler_step(video, velocity, pair)
        audio = None if audio is None else euler_step(audio, audio_velocity, pair)
    return video, audio


class Validator:
    """
    Writes what the model makes of held-out people into a folder per validation.

    `faces.png` has one row per person: the reference, a true frame, a generated one (single frames). `sample_<i>.wav`
    and `true_<i>.wav` are sounds. `sample_<i>.mp4` are clips.

    Args:
        dataset: clips of the validation split with their people.
        config: of the run; must have `validation`, and `export` or `lora`.
        tokenizer: of captions.
        output: folder of validations.
    """

    def __init__(
        self, dataset: IdentityClipDataset, config: TrainingConfig, tokenizer: PreTrainedTokenizerBase, output: Path
    ) -> None:
        count = min(config.validation.num_samples, len(dataset))
        self.indices = np.linspace(0, len(dataset) - 1, count).astype(int).tolist()
        self.dataset, self.config, self.tokenizer, self.output = dataset, config, tokenizer, Path(output)

    def run(self, pipeline: IAPPipeline, step: int) -> Path:
        """
        Args:
            pipeline: with the weights to look at.
            step: names the folder.

        Returns:
            The folder.
        """
        folder = self.output / f"step_{step:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        if self.config.stage.target == "clips":
            self._write_clips(pipeline, folder)
            return folder
        model = IAPTrainingModel(pipeline.transformer, pipeline.text_encoder)
        for bucket in self._batches():
            device = pipeline.transformer.device
            batch = _to_device(bucket, device)
            settings = self.config.validation
            shift = self.config.export.flow_shift
            video, audio = sample_latents(model, batch, settings.num_inference_steps, shift, settings.seed)
            if video is not None:
                rows = [*_single_faces(batch), batch.video[:, :, 0], video[:, :, 0]]
                _sheet([_decode_pictures(pipeline, latents) for latents in rows]).save(folder / "faces.png")
            if audio is not None:
                for name, latents in (("true", batch.audio), ("sample", audio)):
                    self._write_sounds(pipeline, folder, name, latents)
        return folder

    def _batches(self) -> list[TrainingBatch]:
        samples = [
            self.dataset.sample(i, np.random.default_rng([self.config.validation.seed, i])) for i in self.indices
        ]
        shapes = {tuple(s.video.shape if s.video is not None else s.audio.shape) for s in samples}
        first = min(shapes)
        alike = [s for s in samples if tuple(s.video.shape if s.video is not None else s.audio.shape) == first]
        return [collate(alike, self.tokenizer, self.config.data.caption_length)]

    def _write_sounds(self, pipeline: IAPPipeline, folder: Path, name: str, latents: Tensor) -> None:
        for index, samples in enumerate(pipeline.decode_audio_latents(latents).cpu()):
            _write_wav(folder / f"{name}_{index}.wav", samples[0], pipeline.sampling_rate)

    def _write_clips(self, pipeline: IAPPipeline, folder: Path) -> None:
        pipeline.set_progress_bar_config(disable=True)
        stills = []
        for number, index in enumerate(self.indices):
            clip = self.dataset.clips[index]
            people = [self.dataset.identities[identity] for identity in clip.identities]
            lora = self.config.lora
            adapter = None if lora is None or lora.binding == "everything" else lora.name
            output = pipeline(
                clip.caption,
                subjects=[
                    Subject(
                        next(iter(person.faces), None),
                        next(iter(person.voices), None),
                        adapter=adapter if person.faces or person.voices else None,
                    )
                    for person in people
                ],
                height=clip.height,
                width=clip.width,
                num_frames=clip.num_frames,
                frame_rate=clip.frame_rate,
                num_inference_steps=self.config.validation.num_inference_steps,
                generator=torch.Generator().manual_seed(self.config.validation.seed),
            )
            path = folder / f"sample_{number}.mp4"
            rates = {"frame_rate": clip.frame_rate, "sampling_rate": pipeline.sampling_rate}
            export_to_av(output.frames[0], output.audio[0], path, provenance=output.provenance[0], **rates)
            references = [np.array(Image.open(p.faces[0]).convert("RGB")) for p in people if p.faces]
            frames = (output.frames[0][:: max(1, clip.num_frames // 6)] * 255).round().astype(np.uint8)
            stills.append((references, frames))
        _strips(stills).save(folder / "clips.png")


def validation_settings(config: TrainingConfig) -> SampleSettings:
    """What validation samples are made of: everything is given, one picture per face, voices at full length."""
    longest = config.data.voice_latents[1]
    return SampleSettings(
        target=config.stage.target,
        num_draws=1,
        num_views=(1, 1),
        voice_latents=(longest, longest),
        dropout=ConditionDropout(),
    )


def _to_device(batch: TrainingBatch, device: torch.device) -> TrainingBatch:
    identity = batch.identity and type(batch.identity)(*(None if t is None else t.to(device) for t in batch.identity))
    moved = {
        name: None if value is None else value.to(device)
        for name, value in batch._asdict().items()
        if isinstance(value, Tensor)
    }
    return batch._replace(**moved, identity=identity)


def _single_faces(batch: TrainingBatch) -> list[Tensor]:
    """The first face of every sample; nothing if nobody has one."""
    identity = batch.identity
    return [] if identity is None or identity.face_latents is None else [identity.face_latents[:, 0]]


def _decode_pictures(pipeline: IAPPipeline, latents: Tensor) -> np.ndarray:
    """Latents `[B, C, h, w]` to uint8 `[B, H, W, 3]`."""
    pixels = pipeline.decode_latents(latents[:, :, None])[:, :, 0]
    return ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def _sheet(columns: list[np.ndarray], scale: int = 2) -> Image.Image:
    """Pictures side by side per sample, samples below each other, eight to a column of the sheet."""
    height = max(column.shape[1] for column in columns)
    padded = [np.pad(c, ((0, 0), (0, height - c.shape[1]), (0, 0), (0, 0))) for c in columns]
    rows = np.concatenate(padded, axis=2)
    blocks = [rows[start : start + 8] for start in range(0, len(rows), 8)]
    blocks = [np.pad(block, ((0, 8 - len(block)), (0, 0), (0, 8), (0, 0))) for block in blocks]
    sheet = np.concatenate([block.reshape(-1, *block.shape[2:]) for block in blocks], axis=1)
    image = Image.fromarray(sheet)
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def _strips(stills: list[tuple[list[np.ndarray], np.ndarray]]) -> Image.Image:
    """One row per clip: its references, then frames."""
    rows = [
        np.concatenate([_fit(picture, frames.shape[1]) for picture in references] + list(frames), axis=1)
        for references, frames in stills
    ]
    width = max(row.shape[1] for row in rows)
    return Image.fromarray(np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]))


def _fit(picture: np.ndarray, height: int) -> np.ndarray:
    width = round(picture.shape[1] * height / picture.shape[0])
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))


def _write_wav(path: Path, samples: Tensor, sampling_rate: int) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sampling_rate)
        file.writeframes((samples.clamp(-1, 1) * 32767).round().to(torch.int16).numpy().tobytes())
