# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""Identity-personalised generation of picture and sound: `IAPPipeline`.

`__call__` is the recipe; every step of it is a public method that can be run alone.
"""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan, DiffusionPipeline, MMAudioVAE, UniPCMultistepScheduler
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
from diffusers.utils import logging, replace_example_docstring
from diffusers.utils.torch_utils import randn_tensor
from diffusers.video_processor import VideoProcessor
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

from iap_pipelines.models.transformer_iap import IAPTransformer3DModel
from iap_pipelines.pipelines.guidance import CONDITIONAL, Branch, GuidancePlan, GuidanceScales, apply_guidance
from iap_pipelines.pipelines.identity import (
    EncodedIdentity,
    LoadedSubject,
    SubjectLatents,
    collate_identity,
    drop_conditions,
    load_subject,
)
from iap_pipelines.pipelines.lora_iap import IAPLoraLoaderMixin
from iap_pipelines.pipelines.pipeline_output import IAPPipelineOutput
from iap_pipelines.shapes import ClipGeometry, CodecGeometry
from iap_pipelines.types import AudioSamples, StructuredCaption, Subject, caption_anchors


logger = logging.get_logger(__name__)

Prompt = str | StructuredCaption

MAX_SUBJECTS = 4
"""Anchors that every tokenizer of ours has as real tokens: <S1> to <S4>."""
OFFICIAL_VOICE_SECONDS = 6.0
"""The published model cuts or pads every voice to this when there are several."""
OFFICIAL_MAX_VOICE_SECONDS = 10.0
"""The published model never reads more of a single voice."""

EXAMPLE_DOC_STRING = """
    Examples:
        ```python
        >>> from iap_pipelines import IAPPipeline, Subject, export_to_av

        >>> pipe = IAPPipeline.from_pretrained("path/to/checkpoint")
        >>> ada = Subject(face="ada.png", voice="ada.wav")
        >>> output = pipe('Scene: green room. <S1>: center, woman with red hair. <S1> says: "hello".', subjects=[ada])
        >>> export_to_av(
        ...     output.frames[0],
        ...     output.audio[0],
        ...     "ada.mp4",
        ...     frame_rate=pipe.frame_rate,
        ...     sampling_rate=pipe.sampling_rate,
        ... )
        ```
"""


class IAPPipeline(DiffusionPipeline, IAPLoraLoaderMixin):
    r"""
    Generates clips in which given people appear, speak with their own voices, and each say their own lines.

    Implements "Identity as Presence" (arXiv 2603.17889) for one to several subjects. Inherits loading, saving, offloading
    and device placement from [`DiffusionPipeline`].

    Args:
        tokenizer ([`PreTrainedTokenizerBase`]):
            Tokenizer of the caption; holds the anchors `<S1>` to `<S4>` if the transformer was trained with them.
        text_encoder ([`UMT5EncoderModel`]):
            Encodes captions.
        transformer ([`IAPTransformer3DModel`]):
            Denoises picture and sound together.
        vae ([`AutoencoderKLWan`]):
            Video and face latents.
        audio_vae ([`MMAudioVAE`]):
            Sound to latents, latents to mel spectrograms.
        vocoder ([`LTX2Vocoder`]):
            Mel spectrograms to sound.
        scheduler ([`UniPCMultistepScheduler`]):
            Flow-matching scheduler; the audio tower steps through a copy of it.
        height (`int`, defaults to 704):
            Height in pixels that `__call__` uses if none is given.
        width (`int`, defaults to 1280):
            Likewise, width.
        num_frames (`int`, defaults to 121):
            Likewise, frames.
        frame_rate (`float`, defaults to 24.0):
            Frames per second that the transformer was trained for; it is tied to `audio_position_scale`.
        num_inference_steps (`int`, defaults to 50):
            Denoising steps that `__call__` uses if none are given.
        face_size (`int`, defaults to 512):
            Side of the square that a reference face is cropped to.
        max_voice_seconds (`float`, defaults to 5.0):
            How much of a reference recording is used.
        max_sequence_length (`int`, defaults to 512):
            Tokens that a caption is padded to.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae->audio_vae->vocoder"
    _callback_tensor_inputs = ["latents", "audio_latents", "prompt_embeds", "negative_prompt_embeds"]

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: UMT5EncoderModel,
        transformer: IAPTransformer3DModel,
        vae: AutoencoderKLWan,
        audio_vae: MMAudioVAE,
        vocoder: LTX2Vocoder,
        scheduler: UniPCMultistepScheduler,
        height: int = 704,
        width: int = 1280,
        num_frames: int = 121,
        frame_rate: float = 24.0,
        num_inference_steps: int = 50,
        face_size: int = 512,
        max_voice_seconds: float = 5.0,
        max_sequence_length: int = 512,
    ) -> None:
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            transformer=transformer,
            vae=vae,
            audio_vae=audio_vae,
            vocoder=vocoder,
            scheduler=scheduler,
        )
        self.register_to_config(
            height=height,
            width=width,
            num_frames=num_frames,
            frame_rate=frame_rate,
            num_inference_steps=num_inference_steps,
            face_size=face_size,
            max_voice_seconds=max_voice_seconds,
            max_sequence_length=max_sequence_length,
        )
        # Any component may be missing when only part of the pipeline is loaded.
        vae_config = vae.config if getattr(self, "vae", None) else None
        audio_config = audio_vae.config if getattr(self, "audio_vae", None) else None
        patch_size = transformer.config.patch_size if getattr(self, "transformer", None) else (1, 2, 2)
        self.geometry = CodecGeometry(
            spatial_factor=vae_config.scale_factor_spatial if vae_config else 16,
            temporal_factor=vae_config.scale_factor_temporal if vae_config else 4,
            patch_size=tuple(patch_size),
            sampling_rate=audio_config.sample_rate if audio_config else 16_000,
            samples_per_latent=2 * audio_config.hop_length if audio_config else 512,
        )
        self.video_processor = VideoProcessor(vae_scale_factor=self.geometry.spatial_factor)

    @property
    def frame_rate(self) -> float:
        """Frames per second of generated clips, unless `__call__` was told otherwise."""
        return self.config.frame_rate

    @property
    def sampling_rate(self) -> int:
        """Samples per second of generated sound."""
        return self.geometry.sampling_rate

    @property
    def guidance_scale(self) -> float:
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        return self._do_classifier_free_guidance

    @property
    def num_timesteps(self) -> int:
        return self._num_timesteps

    @property
    def current_timestep(self) -> Tensor | None:
        return self._current_timestep

    @property
    def attention_kwargs(self) -> dict[str, Any] | None:
        return self._attention_kwargs

    @property
    def interrupt(self) -> bool:
        return self._interrupt

    def check_inputs(
        self,
        prompt: Prompt | Sequence[Prompt] | None,
        subjects: Sequence[Subject] | Sequence[Sequence[Subject]] | None,
        identity: EncodedIdentity | None,
        scales: GuidanceScales,
        clip: ClipGeometry,
        prompt_embeds: Tensor | None,
        negative_prompt_embeds: Tensor | None,
        audio_negative_prompt_embeds: Tensor | None,
        latents: Tensor | None,
        audio_latents: Tensor | None,
        num_clips: int,
        num_prompts: int,
        generator: torch.Generator | list[torch.Generator] | None,
        compat: str,
        output_type: str,
        skip_guidance_layers: tuple[int, ...],
        callback_on_step_end_tensor_inputs: Sequence[str],
    ) -> None:
        """Raise one clear error for anything that cannot work, before anything heavy happens."""
        if identity is not None and subjects is not None:
            raise ValueError("Pass at most one of `subjects` and `identity`.")
        if output_type not in ("pil", "np", "pt", "latent"):
            raise ValueError(f"`output_type` must be 'pil', 'np', 'pt' or 'latent', got {output_type!r}.")
        unknown = [name for name in callback_on_step_end_tensor_inputs if name not in self._callback_tensor_inputs]
        if unknown:
            raise ValueError(
                f"`callback_on_step_end_tensor_inputs` must be among {self._callback_tensor_inputs}, got {unknown}."
            )
        if isinstance(generator, list) and len(generator) != num_clips:
            raise ValueError(f"`generator` has {len(generator)} entries for {num_clips} clips.")
        num_layers = self.transformer.config.num_layers
        if any(not 0 <= layer < num_layers for layer in skip_guidance_layers):
            raise ValueError(
                f"`skip_guidance_layers` must lie in 0..{num_layers - 1}, got {tuple(skip_guidance_layers)}."
            )
        self._check_embeds(prompt_embeds, negative_prompt_embeds, audio_negative_prompt_embeds, num_prompts)
        self._check_latents(latents, audio_latents, clip, num_clips)
        self._check_scales(scales, skip_guidance_layers)
        if prompt is not None and compat == "native":
            for text, num_subjects in zip(_render_prompts(prompt), map(len, scales.subject_faces), strict=False):
                _check_anchors(text, num_subjects)
        if identity is not None:
            held = (identity.num_latent_frames, identity.num_audio_latents)
            wanted = (clip.num_latent_frames, clip.num_audio_latents)
            if held != wanted:
                raise ValueError(
                    f"`identity` was encoded for clips of {held} latent frames and audio latents, but this call makes "
                    f"{wanted}. Encode it with the same `num_frames` and `frame_rate`."
                )

    def _check_embeds(
        self,
        prompt_embeds: Tensor | None,
        negative_prompt_embeds: Tensor | None,
        audio_negative_prompt_embeds: Tensor | None,
        num_prompts: int,
    ) -> None:
        given = {
            "prompt_embeds": prompt_embeds,
            "negative_prompt_embeds": negative_prompt_embeds,
            "audio_negative_prompt_embeds": audio_negative_prompt_embeds,
        }
        text_dim = self.transformer.config.text_dim
        for name, embeds in given.items():
            if embeds is None:
                continue
            if embeds.ndim != 3 or embeds.shape[-1] != text_dim or embeds.shape[0] != num_prompts:
                raise ValueError(
                    f"`{name}` must have the shape [{num_prompts}, sequence_length, {text_dim}], got {list(embeds.shape)}."
                )
            if not embeds.isfinite().all():
                raise ValueError(f"`{name}` contains NaN or infinity.")

    def _check_latents(
        self, latents: Tensor | None, audio_latents: Tensor | None, clip: ClipGeometry, num_clips: int
    ) -> None:
        video_shape = (
            num_clips,
            self.transformer.config.in_channels,
            clip.num_latent_frames,
            clip.latent_height,
            clip.latent_width,
        )
        audio_shape = (num_clips, clip.num_audio_latents, self.transformer.config.audio_in_channels)
        for name, value, shape in (("latents", latents, video_shape), ("audio_latents", audio_latents, audio_shape)):
            if value is None:
                continue
            if tuple(value.shape) != shape:
                raise ValueError(f"`{name}` must have the shape {list(shape)}, got {list(value.shape)}.")
            if not value.isfinite().all():
                raise ValueError(f"`{name}` contains NaN or infinity.")

    def _check_scales(self, scales: GuidanceScales, skip_guidance_layers: tuple[int, ...]) -> None:
        by_argument = {
            "guidance_scale": scales.text_video,
            "audio_guidance_scale": scales.text_audio,
            "face_guidance_scale": scales.face,
            "voice_guidance_scale": scales.voice,
        }
        for name, scale in by_argument.items():
            if not math.isfinite(scale) or scale < 0:
                raise ValueError(f"`{name}` must be a finite number, 0 or more, got {scale}.")
        has_anybody = any(len(sample) for sample in scales.subject_faces)
        for name in ("face_guidance_scale", "voice_guidance_scale"):
            if by_argument[name] != 1 and not has_anybody:
                raise ValueError(f"`{name}`={by_argument[name]} has no effect without `subjects`.")
        if skip_guidance_layers and scales.text_video == 1 and scales.text_audio == 1:
            raise ValueError("`skip_guidance_layers` has no effect while both text guidance scales are 1.")

    @torch.no_grad()
    def encode_prompt(
        self,
        prompt: Prompt | Sequence[Prompt] | None,
        negative_prompt: str | Sequence[str] | None = None,
        audio_negative_prompt: str | Sequence[str] | None = None,
        do_classifier_free_guidance: bool = True,
        num_videos_per_prompt: int = 1,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        audio_negative_prompt_embeds: Tensor | None = None,
        max_sequence_length: int | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """
        Encode captions, and what they are contrasted with.

        Args:
            prompt: one caption or several; not needed with `prompt_embeds`.
            negative_prompt: what the picture should not be like; empty if `None`.
            audio_negative_prompt: what the sound should not be like; the `negative_prompt` if `None`.
            do_classifier_free_guidance: whether negative prompts are needed.
            num_videos_per_prompt: clips per caption.
            prompt_embeds: `[B, T, text_dim]` instead of `prompt`.
            negative_prompt_embeds: instead of `negative_prompt`.
            audio_negative_prompt_embeds: instead of `audio_negative_prompt`.
            max_sequence_length: tokens to pad to; the pipeline's own if `None`.
            device: where to put the result.
            dtype: of the result; that of the transformer if `None`.

        Returns:
            `prompt_embeds`, `negative_prompt_embeds`, `audio_negative_prompt_embeds`, each
            `[B * num_videos_per_prompt, T, text_dim]`; the negative ones are `None` without guidance.
        """
        device = device or self._execution_device
        max_sequence_length = max_sequence_length or self.config.max_sequence_length

        def encode(texts: list[str]) -> Tensor:
            return self._encode_text(texts, max_sequence_length, device, dtype)

        if prompt_embeds is None:
            prompt_embeds = encode(_render_prompts(prompt))
        num_prompts = prompt_embeds.shape[0]
        if do_classifier_free_guidance:
            if negative_prompt_embeds is None:
                negative_prompt_embeds = encode(_broadcast_prompt("negative_prompt", negative_prompt, num_prompts))
            if audio_negative_prompt_embeds is None:
                audio_negative_prompt_embeds = negative_prompt_embeds
                if audio_negative_prompt is not None:
                    texts = _broadcast_prompt("audio_negative_prompt", audio_negative_prompt, num_prompts)
                    audio_negative_prompt_embeds = encode(texts)
            negative_prompt_embeds = negative_prompt_embeds.repeat_interleave(num_videos_per_prompt, dim=0)
            audio_negative_prompt_embeds = audio_negative_prompt_embeds.repeat_interleave(num_videos_per_prompt, dim=0)
        prompt_embeds = prompt_embeds.repeat_interleave(num_videos_per_prompt, dim=0)
        return prompt_embeds, negative_prompt_embeds, audio_negative_prompt_embeds

    def _encode_text(
        self, texts: list[str], max_sequence_length: int, device: torch.device, dtype: torch.dtype | None
    ) -> Tensor:
        """Caption embeddings `[B, max_sequence_length, text_dim]`, zero behind each caption's end."""
        lengths = [len(ids) for ids in self.tokenizer(texts).input_ids]
        for text, length in zip(texts, lengths, strict=True):
            if length > max_sequence_length:
                logger.warning(
                    "`prompt` has %d tokens and is cut to %d: ...%s", length, max_sequence_length, text[-60:]
                )
        inputs = self.tokenizer(
            texts, padding="max_length", max_length=max_sequence_length, truncation=True, return_tensors="pt"
        )
        mask = inputs.attention_mask.to(device)
        embeds = self.text_encoder(inputs.input_ids.to(device), attention_mask=mask).last_hidden_state
        return (embeds * mask[..., None]).to(device=device, dtype=dtype or embeds.dtype)

    @torch.no_grad()
    def encode_faces(self, views: Sequence[Image.Image], device: torch.device, dtype: torch.dtype) -> Tensor:
        """
        Encode the pictures of one face.

        Args:
            views: RGB images of any size; the short side is scaled to `face_size` and the centre is cropped.
            device: where to put the result.
            dtype: of the result.

        Returns:
            Normalised latents `[V, C, h, w]`.
        """
        size = self.config.face_size
        pictures = []
        for view in views:
            scale = size / min(view.size)
            resized = view.resize([max(size, round(side * scale)) for side in view.size], Image.Resampling.LANCZOS)
            left, top = (resized.width - size) // 2, (resized.height - size) // 2
            pictures.append(resized.crop((left, top, left + size, top + size)))
        pixels = self.video_processor.preprocess(pictures, height=size, width=size)
        pixels = pixels.to(device=device, dtype=self.vae.dtype)
        latents = self.vae.encode(pixels[:, :, None]).latent_dist.mode()
        mean, std = self._latent_statistics(latents)
        return ((latents - mean) / std)[:, :, 0].to(dtype)

    @torch.no_grad()
    def encode_voice(
        self,
        voice: AudioSamples,
        device: torch.device,
        dtype: torch.dtype,
        max_seconds: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """
        Encode one recording.

        Args:
            voice: speech of any rate.
            device: where to put the result.
            dtype: of the result.
            max_seconds: how much of it to use; `max_voice_seconds` of the pipeline if `None`.
            generator: draws from the posterior instead of taking its mean, as the published model does.

        Returns:
            Latents `[l, C_audio]`.
        """
        max_seconds = self.config.max_voice_seconds if max_seconds is None else max_seconds
        voice = voice.resample(self.sampling_rate)
        samples = voice.samples[:, : int(max_seconds * self.sampling_rate)]
        posterior = self.audio_vae.encode(samples.to(device)).latent_dist
        latents = posterior.mode() if generator is None else posterior.sample(generator=generator)
        # Channels are encoded apart and averaged as latents, as published.
        latents = latents.mean(dim=0) * self.audio_vae.config.scaling_factor
        return latents.transpose(0, 1).to(dtype)

    @torch.no_grad()
    def encode_subject(
        self,
        subject: LoadedSubject,
        clip: ClipGeometry,
        device: torch.device,
        dtype: torch.dtype,
        generator: torch.Generator | None = None,
        compat: str = "native",
        is_alone: bool = True,
    ) -> SubjectLatents:
        """Encode one person's pictures and recording; see [`encode_identity`] for `compat`."""
        faces = self.encode_faces(subject.views, device, dtype) if subject.views else None
        voice = None
        if subject.voice is not None:
            if compat == "native":
                voice = self.encode_voice(subject.voice, device, dtype)
            else:
                voice = self._encode_voice_official(subject.voice, clip, device, dtype, generator, is_alone)
        return SubjectLatents(faces, voice)

    def _encode_voice_official(
        self,
        voice: AudioSamples,
        clip: ClipGeometry,
        device: torch.device,
        dtype: torch.dtype,
        generator: torch.Generator | None,
        is_alone: bool,
    ) -> Tensor:
        """A single voice is cut to the clip's length, several are cut or zero-padded to 6 s; latents are drawn."""
        seconds = min(clip.num_audio_latents / self.geometry.audio_latents_per_second, OFFICIAL_MAX_VOICE_SECONDS)
        if not is_alone:
            seconds = OFFICIAL_VOICE_SECONDS
            voice = voice.resample(self.sampling_rate)
            missing = int(seconds * self.sampling_rate) - voice.num_samples
            if missing > 0:
                voice = AudioSamples(F.pad(voice.samples, (0, missing)), voice.sampling_rate)
        generator = generator or torch.Generator(device).manual_seed(0)
        return self.encode_voice(voice, device, dtype, max_seconds=seconds, generator=generator)

    @torch.no_grad()
    def encode_identity(
        self,
        subjects: Sequence[Subject] | Sequence[Sequence[Subject]],
        *,
        num_frames: int | None = None,
        frame_rate: float | None = None,
        branches: Sequence[Branch] = (Branch(CONDITIONAL),),
        compat: str = "native",
        generator: torch.Generator | list[torch.Generator] | None = None,
        attention_kwargs: dict[str, Any] | None = None,
    ) -> EncodedIdentity:
        """
        Read, encode and run the references of a generation, once and for all its steps.

        Args:
            subjects: the people of every clip, or one such list per prompt.
            num_frames: frames of the clips to generate.
            frame_rate: frames per second of the clips to generate.
            branches: the guidance branches that will be run; one that leaves nothing out needs nothing of its own.
            compat: `"official"` treats voices as the published model does (drawn from the posterior; several are padded to 6 s).
            generator: for those draws; a list's first entry.
            attention_kwargs: `{"scale": s}` scales LoRA weights.

        Returns:
            [`EncodedIdentity`], to pass as `identity`.
        """
        clip = self._clip(None, None, num_frames, frame_rate)
        samples = _subjects_per_prompt(subjects)
        loaded = [[load_subject(subject, index) for index, subject in enumerate(sample)] for sample in samples]
        return self._encode_loaded(samples, loaded, clip, branches, compat, generator, attention_kwargs)

    def _encode_loaded(
        self,
        samples: list[list[Subject]],
        loaded: list[list[LoadedSubject]],
        clip: ClipGeometry,
        branches: Sequence[Branch],
        compat: str,
        generator: torch.Generator | list[torch.Generator] | None,
        attention_kwargs: dict[str, Any] | None,
    ) -> EncodedIdentity:
        device, dtype = self._execution_device, self.transformer.dtype
        generator = generator[0] if isinstance(generator, list) else generator
        latents = [
            [
                self.encode_subject(
                    subject, clip, device, dtype, generator, compat, sum(s.voice is not None for s in sample) == 1
                )
                for subject in sample
            ]
            for sample in loaded
        ]
        known = {}
        memories = {}
        for branch in branches:
            key = (branch.dropped_face_subjects, branch.dropped_voice_subjects, branch.skip_layers)
            if key not in known:
                inputs = collate_identity([drop_conditions(sample, *key[:2]) for sample in latents])
                known[key] = inputs and self.transformer.encode_identity(
                    inputs,
                    clip.num_latent_frames,
                    clip.num_audio_latents,
                    skip_layers=branch.skip_layers,
                    attention_kwargs=attention_kwargs,
                )
            memories[branch.name] = known[key]
        return EncodedIdentity(
            memories=memories,
            num_latent_frames=clip.num_latent_frames,
            num_audio_latents=clip.num_audio_latents,
            num_subjects=tuple(map(len, samples)),
            face_scales=tuple(tuple(subject.face_scale for subject in sample) for sample in samples),
            voice_scales=tuple(tuple(subject.voice_scale for subject in sample) for sample in samples),
        )

    def release_identity_weights(self) -> None:
        """
        Free the weights that only references use. Call it after `encode_identity`; from then on clips are generated with
        `identity=...`, and `save_pretrained` writes a slim checkpoint for a fixed set of people.
        """
        self.transformer.release_identity_weights()

    def prepare_latents(
        self,
        batch_size: int,
        clip: ClipGeometry,
        device: torch.device,
        generator: torch.Generator | list[torch.Generator] | None,
        latents: Tensor | None = None,
    ) -> Tensor:
        """Noise for the picture, float32 `[B, C, F, h, w]`, or the given latents on `device`."""
        if latents is not None:
            return latents.to(device=device, dtype=torch.float32)
        shape = (
            batch_size,
            self.transformer.config.in_channels,
            clip.num_latent_frames,
            clip.latent_height,
            clip.latent_width,
        )
        return randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)

    def prepare_audio_latents(
        self,
        batch_size: int,
        clip: ClipGeometry,
        device: torch.device,
        generator: torch.Generator | list[torch.Generator] | None,
        audio_latents: Tensor | None = None,
    ) -> Tensor:
        """Noise for the sound, float32 `[B, L, C_audio]`, or the given latents on `device`."""
        if audio_latents is not None:
            return audio_latents.to(device=device, dtype=torch.float32)
        shape = (batch_size, clip.num_audio_latents, self.transformer.config.audio_in_channels)
        return randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)

    def set_timesteps(self, num_inference_steps: int, sigmas: Sequence[float] | None, device: torch.device) -> Tensor:
        """
        Set the scheduler's steps and return its timesteps.

        The noise levels before the scheduler's shift fall evenly from 0.999 (in float32, as published). They are passed
        explicitly since the scheduler's own grid is another one and differs between diffusers versions.
        """
        if sigmas is None:
            sigmas = np.linspace(float(np.float32(0.999)), 0, num_inference_steps + 1)[:-1]
        self.scheduler.set_timesteps(sigmas=np.asarray(sigmas, dtype=np.float64), device=device)
        return self.scheduler.timesteps

    @torch.no_grad()
    def decode_latents(self, latents: Tensor) -> Tensor:
        """Video latents `[B, C, F, h, w]` to pictures `[B, 3, F, H, W]` in about [-1, 1]."""
        mean, std = self._latent_statistics(latents)
        latents = latents * std + mean
        return self.vae.decode(latents.to(self.vae.dtype), return_dict=False)[0]

    @torch.no_grad()
    def decode_audio_latents(self, audio_latents: Tensor) -> Tensor:
        """Audio latents `[B, L, C_audio]` to waveforms, float32 `[B, 1, N]` in [-1, 1]."""
        audio_latents = audio_latents.transpose(1, 2) / self.audio_vae.config.scaling_factor
        mel = self.audio_vae.decode(audio_latents.to(self.audio_vae.dtype), return_dict=False)[0]
        return self.vocoder(mel[:, None].to(self.vocoder.dtype), time_last=True).float()

    def _latent_statistics(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Per-channel mean and standard deviation of the video VAE's latents, `[1, C, 1, 1, 1]`."""
        mean, std = (
            torch.tensor(values, device=latents.device, dtype=latents.dtype).view(1, -1, 1, 1, 1)
            for values in (self.vae.config.latents_mean, self.vae.config.latents_std)
        )
        return mean, std

    def _clip(
        self, height: int | None, width: int | None, num_frames: int | None, frame_rate: float | None
    ) -> ClipGeometry:
        given = {"height": height, "width": width, "num_frames": num_frames, "frame_rate": frame_rate}
        return self.geometry.clip(
            **{name: self.config[name] if value is None else value for name, value in given.items()}
        )

    @torch.no_grad()
    @replace_example_docstring(EXAMPLE_DOC_STRING)
    def __call__(
        self,
        prompt: Prompt | Sequence[Prompt] | None = None,
        subjects: Sequence[Subject] | Sequence[Sequence[Subject]] | None = None,
        *,
        negative_prompt: str | Sequence[str] | None = None,
        audio_negative_prompt: str | Sequence[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        frame_rate: float | None = None,
        num_inference_steps: int | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float = 4.0,
        audio_guidance_scale: float = 3.0,
        face_guidance_scale: float = 1.0,
        voice_guidance_scale: float = 1.0,
        skip_guidance_layers: Sequence[int] = (),
        num_videos_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        latents: Tensor | None = None,
        audio_latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        audio_negative_prompt_embeds: Tensor | None = None,
        identity: EncodedIdentity | None = None,
        compat: str = "native",
        output_type: str = "np",
        return_dict: bool = True,
        attention_kwargs: dict[str, Any] | None = None,
        callback_on_step_end: Callable[["IAPPipeline", int, Tensor, dict[str, Tensor]], dict[str, Tensor]]
        | PipelineCallback
        | MultiPipelineCallbacks
        | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents", "audio_latents"),
        max_sequence_length: int | None = None,
    ) -> IAPPipelineOutput | tuple[Any, Tensor]:
        r"""
        Generate clips with sound.

        Args:
            prompt (`str`, `StructuredCaption` or a list of them, *optional*):
                Who does and says what. Subject k of `subjects` is called `<Sk>` in it, from 1.
            subjects (`list[Subject]` or `list[list[Subject]]`, *optional*):
                The people of every clip, or one list per prompt. Each may have a face, a voice, both or neither.
            negative_prompt (`str` or `list[str]`, *optional*):
                What the picture should not be like.
            audio_negative_prompt (`str` or `list[str]`, *optional*):
                What the sound should not be like. `negative_prompt` if not given.
            height (`int`, *optional*):
                Pixels. The checkpoint's own size if not given; so are `width`, `num_frames`, `frame_rate` and
                `num_inference_steps`.
            width (`int`, *optional*):
                Pixels.
            num_frames (`int`, *optional*):
                Frames, one more than a multiple of the VAE's temporal factor.
            frame_rate (`float`, *optional*):
                Frames per second; decides how much sound belongs to the frames.
            num_inference_steps (`int`, *optional*):
                Denoising steps.
            sigmas (`list[float]`, *optional*):
                Noise levels before the scheduler's shift, instead of an even fall over `num_inference_steps`.
            guidance_scale (`float`, defaults to 4.0):
                How strongly the picture follows the caption rather than the negative prompt. 1 is neutral, as for all scales.
            audio_guidance_scale (`float`, defaults to 3.0):
                Likewise for the sound.
            face_guidance_scale (`float`, defaults to 1.0):
                How strongly the picture follows all references rather than none.
            voice_guidance_scale (`float`, defaults to 1.0):
                Likewise for the sound. `Subject.face_scale` and `Subject.voice_scale` do the same for one subject.
            skip_guidance_layers (`tuple[int]`, *optional*):
                Transformer layers that the unconditional branch leaves out (the published setting is `(11,)`).
            num_videos_per_prompt (`int`, defaults to 1):
                Clips per prompt.
            generator (`torch.Generator` or `list[torch.Generator]`, *optional*):
                Makes generation deterministic; a list has one per clip.
            latents (`torch.Tensor`, *optional*):
                Initial noise of the picture `[B, C, F, h, w]`.
            audio_latents (`torch.Tensor`, *optional*):
                Initial noise of the sound `[B, L, C_audio]`.
            prompt_embeds (`torch.Tensor`, *optional*):
                Encoded captions instead of `prompt`, `[B, T, text_dim]`.
            negative_prompt_embeds (`torch.Tensor`, *optional*):
                Instead of `negative_prompt`.
            audio_negative_prompt_embeds (`torch.Tensor`, *optional*):
                Instead of `audio_negative_prompt`.
            identity (`EncodedIdentity`, *optional*):
                Encoded people instead of `subjects`.
            compat (`str`, defaults to `"native"`):
                `"official"` reproduces the published semantics: voices dropped in the unconditional branch, voices drawn from
                their posterior and padded to 6 s when there are several, anchors not required, and text guidance decided by
                `guidance_scale` alone.
            output_type (`str`, defaults to `"np"`):
                `"np"`, `"pt"`, `"pil"` or `"latent"`.
            return_dict (`bool`, defaults to `True`):
                Whether to return an [`IAPPipelineOutput`] or a plain tuple.
            attention_kwargs (`dict`, *optional*):
                `{"scale": s}` scales LoRA weights.
            callback_on_step_end (`Callable`, *optional*):
                Called as `callback(pipe, step, timestep, tensors)` after each step; may return replaced tensors.
            callback_on_step_end_tensor_inputs (`list[str]`, defaults to `("latents", "audio_latents")`):
                Which tensors it is given.
            max_sequence_length (`int`, *optional*):
                Tokens that captions are padded to.

        Examples:

        Returns:
            [`IAPPipelineOutput`] or `tuple`: `frames` and `audio`.
        """
        if isinstance(callback_on_step_end, PipelineCallback | MultiPipelineCallbacks):
            callback_on_step_end_tensor_inputs = callback_on_step_end.tensor_inputs

        # 1. Check everything, read the references: whatever can fail fails here.
        num_prompts = _count_prompts(prompt, prompt_embeds)
        num_clips = num_prompts * num_videos_per_prompt
        if num_inference_steps is None:
            num_inference_steps = self.config.num_inference_steps
        clip = self._clip(height, width, num_frames, frame_rate)
        if compat not in ("native", "official"):
            raise ValueError(f"`compat` must be 'native' or 'official', got {compat!r}.")
        samples = _subjects_per_prompt(subjects or [])
        if len(samples) not in (1, num_prompts):
            raise ValueError(f"`subjects` has {len(samples)} lists for {num_prompts} prompts.")
        if max(map(len, samples)) > self._max_subjects:
            raise ValueError(f"`subjects` names {max(map(len, samples))} people, at most {self._max_subjects} fit.")
        if identity is not None:
            face_scales, voice_scales = identity.face_scales, identity.voice_scales
        else:
            face_scales = tuple(tuple(subject.face_scale for subject in sample) for sample in samples)
            voice_scales = tuple(tuple(subject.voice_scale for subject in sample) for sample in samples)
            _check_subject_scales(samples)
        scales = GuidanceScales(
            text_video=guidance_scale,
            text_audio=audio_guidance_scale,
            face=face_guidance_scale,
            voice=voice_guidance_scale,
            subject_faces=_serve(face_scales, num_clips),
            subject_voices=_serve(voice_scales, num_clips),
        )
        skip_guidance_layers = tuple(skip_guidance_layers)
        self.check_inputs(
            prompt,
            subjects,
            identity,
            scales,
            clip,
            prompt_embeds,
            negative_prompt_embeds,
            audio_negative_prompt_embeds,
            latents,
            audio_latents,
            num_clips,
            num_prompts,
            generator,
            compat,
            output_type,
            skip_guidance_layers,
            callback_on_step_end_tensor_inputs,
        )
        loaded = [[load_subject(subject, index) for index, subject in enumerate(sample)] for sample in samples]

        self._guidance_scale = guidance_scale
        self._attention_kwargs = attention_kwargs
        self._current_timestep = None
        self._interrupt = False
        device, dtype = self._execution_device, self.transformer.dtype
        plan = scales.plan(skip_layers=skip_guidance_layers, official=compat == "official")
        self._do_classifier_free_guidance = plan.uses_negative_prompt

        # 2. Caption
        prompt_embeds, negative_prompt_embeds, audio_negative_prompt_embeds = self.encode_prompt(
            prompt,
            negative_prompt=negative_prompt,
            audio_negative_prompt=audio_negative_prompt,
            do_classifier_free_guidance=plan.uses_negative_prompt,
            num_videos_per_prompt=num_videos_per_prompt,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            audio_negative_prompt_embeds=audio_negative_prompt_embeds,
            max_sequence_length=max_sequence_length,
            device=device,
            dtype=dtype,
        )
        captions = {True: self._remember_caption(prompt_embeds)}
        if plan.uses_negative_prompt:
            captions[False] = self._remember_caption(negative_prompt_embeds, audio_negative_prompt_embeds)

        # 3. Identity
        if identity is None:
            identity = self._encode_loaded(samples, loaded, clip, plan.branches, compat, generator, attention_kwargs)
        missing = [branch.name for branch in plan.branches if branch.name not in identity.memories]
        if missing:
            raise ValueError(
                f"`identity` was not encoded for the guidance branches {missing}. Pass them as `branches` to "
                "`encode_identity`, or set the scales that need them to 1."
            )
        identity = identity.expand(num_clips)

        # 4. Noise
        timesteps = self.set_timesteps(num_inference_steps, sigmas, device)
        audio_scheduler = copy.deepcopy(self.scheduler)
        self._num_timesteps = len(timesteps)
        latents = self.prepare_latents(num_clips, clip, device, generator, latents)
        audio_latents = self.prepare_audio_latents(num_clips, clip, device, generator, audio_latents)

        # 5. Denoise
        with self.progress_bar(total=len(timesteps)) as progress_bar:
            for i, t in enumerate(timesteps):
                if self.interrupt:
                    continue
                self._current_timestep = t

                velocity, audio_velocity = self._predict(
                    latents.to(dtype), audio_latents.to(dtype), t.expand(num_clips), plan, captions, identity
                )
                latents = self.scheduler.step(velocity.float(), t, latents, return_dict=False)[0]
                audio_latents = audio_scheduler.step(audio_velocity.float(), t, audio_latents, return_dict=False)[0]

                if callback_on_step_end is not None:
                    callback_kwargs = {}
                    for name in callback_on_step_end_tensor_inputs:
                        callback_kwargs[name] = locals()[name]
                    callback_outputs = callback_on_step_end(self, i, t, callback_kwargs) or {}
                    latents = callback_outputs.pop("latents", latents)
                    audio_latents = callback_outputs.pop("audio_latents", audio_latents)
                    new_prompt_embeds = callback_outputs.pop("prompt_embeds", prompt_embeds)
                    if new_prompt_embeds is not prompt_embeds:
                        prompt_embeds = new_prompt_embeds
                        captions[True] = self._remember_caption(prompt_embeds)
                    new_negative_prompt_embeds = callback_outputs.pop("negative_prompt_embeds", negative_prompt_embeds)
                    if new_negative_prompt_embeds is not negative_prompt_embeds:
                        negative_prompt_embeds = new_negative_prompt_embeds
                        captions[False] = self._remember_caption(negative_prompt_embeds, audio_negative_prompt_embeds)

                progress_bar.update()
        self._current_timestep = None

        # 6. Decode
        if output_type == "latent":
            frames, audio = latents, audio_latents
        else:
            pixels = self.decode_latents(latents)
            frames = self.video_processor.postprocess_video(pixels, output_type=output_type)
            audio = self.decode_audio_latents(audio_latents).cpu()

        self.maybe_free_model_hooks()
        if not return_dict:
            return frames, audio
        return IAPPipelineOutput(frames=frames, audio=audio)

    @property
    def _max_subjects(self) -> int:
        return self.transformer.config.num_identity_slots or MAX_SUBJECTS

    def _remember_caption(self, prompt_embeds: Tensor, audio_prompt_embeds: Tensor | None = None) -> tuple:
        return self.transformer.encode_caption(
            prompt_embeds, audio_prompt_embeds, attention_kwargs=self.attention_kwargs
        )

    def _predict(
        self,
        latents: Tensor,
        audio_latents: Tensor,
        timestep: Tensor,
        plan: GuidancePlan,
        captions: dict[bool, tuple],
        identity: EncodedIdentity,
    ) -> tuple[Tensor, Tensor]:
        """Guided velocities of picture and sound: one call of the transformer per branch."""
        video_predictions, audio_predictions = {}, {}
        for branch in plan.branches:
            with self.transformer.cache_context(branch.name):
                video_predictions[branch.name], audio_predictions[branch.name] = self.transformer(
                    hidden_states=latents,
                    audio_hidden_states=audio_latents,
                    timestep=timestep,
                    caption_memory=captions[branch.has_prompt],
                    identity_memory=identity.memories[branch.name],
                    skip_layers=branch.skip_layers,
                    attention_kwargs=self.attention_kwargs,
                    return_dict=False,
                )
        return (
            apply_guidance(video_predictions, plan.video_scales),
            apply_guidance(audio_predictions, plan.audio_scales),
        )


def _count_prompts(prompt: Prompt | Sequence[Prompt] | None, prompt_embeds: Tensor | None) -> int:
    if (prompt is None) == (prompt_embeds is None):
        raise ValueError("Pass exactly one of `prompt` and `prompt_embeds`.")
    return prompt_embeds.shape[0] if prompt is None else len(_render_prompts(prompt))


def _render_prompts(prompt: Prompt | Sequence[Prompt]) -> list[str]:
    prompts = [prompt] if isinstance(prompt, str | StructuredCaption) else prompt
    if not isinstance(prompts, list | tuple) or not prompts:
        raise ValueError(f"`prompt` must be a caption or a non-empty list of captions, got {type(prompt).__name__}.")
    texts = []
    for entry in prompts:
        if not isinstance(entry, str | StructuredCaption):
            raise ValueError(f"`prompt` must hold `str` or `StructuredCaption`, got {type(entry).__name__}.")
        text = entry.render() if isinstance(entry, StructuredCaption) else entry
        if not text.strip():
            raise ValueError("`prompt` is empty: describe who does and says what.")
        texts.append(text)
    return texts


def _broadcast_prompt(name: str, prompt: str | Sequence[str] | None, num_prompts: int) -> list[str]:
    prompts = [prompt or ""] * num_prompts if prompt is None or isinstance(prompt, str) else list(prompt)
    if len(prompts) != num_prompts:
        raise ValueError(f"`{name}` has {len(prompts)} entries for {num_prompts} prompts.")
    return prompts


def _subjects_per_prompt(subjects: Sequence[Subject] | Sequence[Sequence[Subject]]) -> list[list[Subject]]:
    """One list of subjects per prompt, or a single one that serves all prompts."""
    if not isinstance(subjects, list | tuple):
        raise ValueError(f"`subjects` must be a list of `Subject`, got {type(subjects).__name__}.")
    samples = list(subjects) if subjects and isinstance(subjects[0], list | tuple) else [list(subjects)]
    for sample in samples:
        for subject in sample:
            if not isinstance(subject, Subject):
                raise ValueError(f"`subjects` must hold `Subject`, got {type(subject).__name__}.")
    return [list(sample) for sample in samples]


def _check_anchors(text: str, num_subjects: int) -> None:
    anchors = set(caption_anchors(text))
    subjects = set(range(1, num_subjects + 1))
    if anchors - subjects:
        names = ", ".join(f"<S{k}>" for k in sorted(anchors - subjects))
        raise ValueError(f"`prompt` names {names}, but `subjects` has {num_subjects} entries.")
    if subjects - anchors:
        names = ", ".join(f"<S{k}>" for k in sorted(subjects - anchors))
        raise ValueError(
            f"`prompt` never names {names}, so nothing says what that subject does. Write the anchor where the prompt "
            "speaks of the subject, as in '<S1>: left, a woman. <S1> says: \"hello\".'"
        )


def _check_subject_scales(samples: list[list[Subject]]) -> None:
    for sample in samples:
        for index, subject in enumerate(sample):
            if not subject.has_face and not subject.has_voice and (subject.face_scale, subject.voice_scale) != (1, 1):
                raise ValueError(
                    f"`subjects[{index}]` has neither face nor voice, so `face_scale` and `voice_scale` have no effect."
                )


def _serve(rows: tuple[tuple[float, ...], ...], num_clips: int) -> tuple[tuple[float, ...], ...]:
    """One row per clip: rows are repeated in turn."""
    return tuple(row for row in rows for _ in range(num_clips // len(rows)))
