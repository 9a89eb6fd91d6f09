# Copyright 2026 The iap-pipelines team. Licensed under the Apache License, Version 2.0.
"""Identity-personalised generation of picture and sound: `IAPPipeline`.

`__call__` is the recipe; every step of it is a public method that can be run alone.
"""

import copy
import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan, DiffusionPipeline, MMAudioVAE, UniPCMultistepScheduler
from diffusers.callbacks import MultiPipelineCallbacks, PipelineCallback
from diffusers.hooks import apply_group_offloading
from diffusers.models.autoencoders.autoencoder_mmaudio import MMAudioMelSpectrogram
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
from diffusers.utils import logging, replace_example_docstring
from diffusers.utils.accelerate_utils import apply_forward_hook
from diffusers.utils.torch_utils import randn_tensor
from diffusers.video_processor import VideoProcessor
from PIL import Image
from torch import Tensor
from transformers import PreTrainedTokenizerBase, UMT5EncoderModel

from iap_pipelines.models.transformer_iap import IAPIdentityMemory, IAPTransformer3DModel, LayerMemory, Towers
from iap_pipelines.pipelines.captions import CaptionInputs, Prompt
from iap_pipelines.pipelines.fingerprint import check_model, model_fingerprint
from iap_pipelines.pipelines.guidance import (
    IDENTITY_SCALES,
    Branch,
    GuidancePlan,
    GuidanceSettings,
    apply_guidance,
)
from iap_pipelines.pipelines.identity import (
    EncodedIdentity,
    LoadedIdentity,
    LoadedSubject,
    SubjectLatents,
    collate_identity,
    drop_conditions,
    fit_voice,
    is_silent,
    merge_memories,
    repeat_rows,
)
from iap_pipelines.pipelines.lora_iap import (
    IAPLoraLoaderMixin,
    active_adapters,
    fused_adapters,
    only_adapters,
    owned_adapters,
)
from iap_pipelines.pipelines.model_provenance import model_provenance
from iap_pipelines.pipelines.pipeline_output import IAPPipelineOutput
from iap_pipelines.shapes import ClipGeometry, CodecGeometry
from iap_pipelines.types import AudioSamples, Subject


logger = logging.get_logger(__name__)

MAX_SUBJECTS = 4
"""Anchors that every tokenizer of ours has as real tokens: <S1> to <S4>."""
OFFICIAL_VOICE_SECONDS = 6.0
"""The published model cuts or pads every voice to this when there are several."""
OFFICIAL_MAX_VOICE_SECONDS = 10.0
"""The published model never reads more of a single voice."""

MAX_DRIFT = 0.05
"""How far `frame_rate` may be from what `audio_position_scale` says; the published two differ by 2.5 %."""

SubjectInput = Subject | SubjectLatents

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
        ...     provenance=output.provenance[0],
        ...     frame_rate=pipe.frame_rate,
        ...     sampling_rate=pipe.sampling_rate,
        ... )
        ```
"""


class IAPPipeline(DiffusionPipeline, IAPLoraLoaderMixin):
    r"""
    Generates clips in which given people appear, speak with their own voices, and each say their own lines.

    Implements "Identity as Presence" (arXiv 2603.17889) for one to several subjects. Inherits loading, saving,
    offloading and device placement from [`DiffusionPipeline`].

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
        sizes_by_subjects (`dict[str, list[int]]`, *optional*):
            Height and width for a given number of subjects (`"2"`), where they differ from the two above.
        num_frames (`int`, defaults to 121):
            Likewise, frames.
        frame_rate (`float`, defaults to 24.0):
            Frames per second that the transformer was trained for; it is tied to `audio_position_scale`.
        num_inference_steps (`int`, defaults to 50):
            Denoising steps that `__call__` uses if none are given.
        guidance_scale (`float`, defaults to 4.0):
            Likewise, how strongly the picture follows the caption. A model that was distilled, or trained for a short
            time, wants less.
        audio_guidance_scale (`float`, defaults to 3.0):
            Likewise for the sound.
        face_guidance_scale (`float`, defaults to 1.0):
            Likewise, how strongly the picture follows all references rather than none.
        voice_guidance_scale (`float`, defaults to 1.0):
            Likewise for the sound.
        face_size (`int`, defaults to 512):
            Side of the square that a reference face is cropped to.
        max_voice_seconds (`float`, defaults to 5.0):
            How much of a reference recording is used.
        max_sequence_length (`int`, defaults to 512):
            Tokens that a caption is padded to.
    """

    model_cpu_offload_seq = "text_encoder->transformer->vae->audio_vae->vocoder"
    _callback_tensor_inputs = [
        "latents",
        "audio_latents",
        "prompt_embeds",
        "negative_prompt_embeds",
        "audio_negative_prompt_embeds",
    ]

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
        sizes_by_subjects: dict[str, list[int]] | None = None,
        num_frames: int = 121,
        frame_rate: float = 24.0,
        num_inference_steps: int = 50,
        guidance_scale: float = GuidanceSettings.guidance_scale,
        audio_guidance_scale: float = GuidanceSettings.audio_guidance_scale,
        face_guidance_scale: float = GuidanceSettings.face_guidance_scale,
        voice_guidance_scale: float = GuidanceSettings.voice_guidance_scale,
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
            sizes_by_subjects=sizes_by_subjects or {},
            num_frames=num_frames,
            frame_rate=frame_rate,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            audio_guidance_scale=audio_guidance_scale,
            face_guidance_scale=face_guidance_scale,
            voice_guidance_scale=voice_guidance_scale,
            face_size=face_size,
            max_voice_seconds=max_voice_seconds,
            max_sequence_length=max_sequence_length,
        )
        # Any component may be missing when only part of the pipeline is loaded.
        parts = (getattr(self, name, None) for name in ("vae", "audio_vae", "transformer"))
        self.geometry = codec_geometry(*parts)
        self.video_processor = VideoProcessor(vae_scale_factor=self.geometry.spatial_factor)
        self.mel_spectrogram = mel_front_end(audio_vae) if getattr(self, "audio_vae", None) else None

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

    @property
    def _loaded_from(self) -> str | os.PathLike[str] | None:
        """Repository or folder, if it was loaded from one."""
        return self.config.get("_name_or_path")

    def check_inputs(
        self,
        captions: CaptionInputs,
        people: LoadedIdentity | EncodedIdentity,
        guidance: GuidanceSettings,
        clip: ClipGeometry,
        noise: Towers,
        generator: torch.Generator | list[torch.Generator] | None,
        output_type: str,
        callback_on_step_end_tensor_inputs: Sequence[str],
    ) -> None:
        """
        Raise one clear error for anything that cannot work, before anything heavy happens.

        Each value was checked when it was made; here they are held against each other and against the model.
        """
        if output_type not in ("pil", "np", "pt", "latent"):
            raise ValueError(f"`output_type` must be 'pil', 'np', 'pt' or 'latent', got {output_type!r}.")
        unknown = [name for name in callback_on_step_end_tensor_inputs if name not in self._callback_tensor_inputs]
        if unknown:
            raise ValueError(
                f"`callback_on_step_end_tensor_inputs` must be among {self._callback_tensor_inputs}, got {unknown}."
            )
        _check_generator(generator, captions.num_clips, "clips")
        self._check_captions(captions, guidance)
        self._check_people(people, captions, guidance, clip)
        self._check_noise(noise, clip, captions.num_clips)

    def _check_captions(self, captions: CaptionInputs, guidance: GuidanceSettings) -> None:
        self._check_layers(guidance.skip_guidance_layers)
        if captions.negative_names and not guidance.has_text_guidance:
            raise ValueError(
                f"`{captions.negative_names[0]}` has no effect while text guidance is off (its scales are 1)."
            )
        text_dim = self.transformer.config.text_dim
        for name in ("prompt_embeds", "negative_prompt_embeds", "audio_negative_prompt_embeds"):
            embeds = getattr(captions, name)
            if embeds is not None and embeds.shape[-1] != text_dim:
                raise ValueError(f"`{name}` must have {text_dim} channels, got the shape {list(embeds.shape)}.")

    def _check_layers(self, skip_layers: Sequence[int]) -> None:
        num_layers = self.transformer.config.num_layers
        if any(not 0 <= layer < num_layers for layer in skip_layers):
            raise ValueError(f"`skip_guidance_layers` must lie in 0..{num_layers - 1}, got {tuple(skip_layers)}.")

    def _check_people(
        self,
        people: LoadedIdentity | EncodedIdentity,
        captions: CaptionInputs,
        guidance: GuidanceSettings,
        clip: ClipGeometry,
    ) -> None:
        name = "subjects" if isinstance(people, LoadedIdentity) else "identity"
        num_subjects, num_prompts = people.num_subjects, captions.num_prompts
        if len(num_subjects) not in (1, num_prompts):
            raise ValueError(f"`{name}` is for {len(num_subjects)} prompts, but there are {num_prompts}.")
        if not guidance.is_official:
            captions.check_anchors(repeat_rows(num_subjects, num_prompts // len(num_subjects)))
        asked = [key for key in IDENTITY_SCALES if getattr(guidance, key) not in (1, self.config[key])]
        if asked and not people.has_references:
            raise ValueError(f"`{asked[0]}` has no effect without a face or a voice in `subjects`.")
        if isinstance(people, LoadedIdentity):
            self._check_references(people, clip, guidance.is_official)
        else:
            self._check_identity(people, guidance, clip.num_latent_frames, clip.num_audio_latents)

    def _check_identity(
        self, identity: EncodedIdentity, guidance: GuidanceSettings, num_latent_frames: int, num_audio_latents: int
    ) -> None:
        """That encoded people belong to this model, to these guidance branches, and to clips of this length."""
        held, wanted = (identity.num_latent_frames, identity.num_audio_latents), (num_latent_frames, num_audio_latents)
        if held != wanted:
            raise ValueError(
                f"`identity` was encoded for clips of {held} latent frames and audio latents, but this call makes "
                f"{wanted}. Encode it with the same `num_frames` and `frame_rate`."
            )
        for branch in guidance.plan(identity.face_scales, identity.voice_scales, identity.has_references).branches:
            memory = identity.memory(branch)
            if memory is not None and len(memory.layers) != self.transformer.config.num_layers:
                raise ValueError(
                    f"`identity` was encoded by a model of {len(memory.layers)} layers, this one has "
                    f"{self.transformer.config.num_layers}."
                )
        found = identity.model_fingerprint and model_fingerprint(self.transformer)
        if found and found != identity.model_fingerprint:
            raise ValueError("`identity` was encoded by another model than this one. Encode it anew.")

    def _check_references(self, people: LoadedIdentity, clip: ClipGeometry, is_official: bool) -> None:
        """
        What the transformer cannot take: too many people, other latents, more than fits where a subject has its place.
        """
        config = self.transformer.config
        most = config.num_identity_slots or MAX_SUBJECTS
        if max(people.num_subjects) > most:
            raise ValueError(f"`subjects` names {max(people.num_subjects)} people, at most {most} fit.")
        for sample in people.samples:
            num_voices = sum(subject.voice is not None for subject in sample)
            seconds = self._voice_seconds(num_voices, clip, is_official)
            for index, subject in enumerate(sample):
                num_voice_latents = self._count_voice_latents(subject, num_voices, clip, is_official)
                self._check_reference(subject, num_voice_latents, f"`subjects[{index}]`")
                if isinstance(subject, LoadedSubject):
                    _check_beginning(subject.voice, seconds, f"`subjects[{index}]`")
        self._check_face_sizes(subject for sample in people.samples for subject in sample if subject.num_views)
        self._check_length(people, clip, is_official)
        self._check_adapters(people)

    def _check_length(self, people: LoadedIdentity, clip: ClipGeometry, is_official: bool) -> None:
        """That no frame or sound of the clip has the position of a reference; the published code lets it happen."""
        config = self.transformer.config
        if config.identity_position != "fixed":
            return
        subjects = [subject for sample in people.samples for subject in sample]
        for what, is_given, length, most in (
            (
                "faces begin at latent frame",
                any(subject.num_views for subject in subjects),
                clip.num_latent_frames // config.patch_size[0],
                config.face_position,
            ),
            (
                "voices begin at audio latent",
                any(subject.voice is not None for subject in subjects),
                clip.num_audio_latents,
                config.voice_position,
            ),
        ):
            if is_given and length > most:
                message = f"`num_frames`={clip.num_frames} makes a clip of {length}, but in this model {what} {most}."
                if not is_official:
                    raise ValueError(message)
                logger.warning(message)

    def _check_adapters(self, people: LoadedIdentity) -> None:
        """That adapters which belong to somebody are there, and that they can act on their owner alone."""
        idle = owned_adapters(self.transformer).intersection(active_adapters(self.transformer)) - people.adapters
        if idle:
            logger.warning(
                "The adapters %s belong to people, but no subject names them, so they do not act: give their owners "
                "`Subject(..., adapter=...)`.",
                sorted(idle),
            )
        if not people.adapters:
            return
        loaded, fused = getattr(self.transformer, "peft_config", {}), fused_adapters(self.transformer)
        for name in sorted(people.adapters):
            if name not in loaded:
                raise ValueError(
                    f"`subjects` name the `adapter` {name!r}, but loaded are {sorted(loaded)}. Call "
                    f"`load_lora_weights(..., adapter_name={name!r})` before."
                )
            if name in fused:
                raise ValueError(
                    f"`subjects` name the `adapter` {name!r}, but it is fused into the weights, where it acts on "
                    "everybody. Call `unfuse_lora()` before."
                )
        is_crowded = any(
            sum(subject.num_views > 0 or subject.voice is not None for subject in sample) > 1
            for sample in people.samples
        )
        config = self.transformer.config
        if is_crowded and config.identity_attention != "per_subject":
            raise ValueError(
                "`adapter` of one of several subjects needs a transformer with `identity_attention='per_subject'`; in "
                "this one the references of all subjects see each other."
            )
        if is_crowded and config.identity_position != "after_clip":
            raise ValueError(
                "`adapter` of one of several subjects needs a transformer with `identity_position='after_clip'`; in "
                "this one the position of a subject depends on the references before it."
            )

    def _check_face_sizes(self, subjects: Iterable[LoadedSubject | SubjectLatents]) -> None:
        encoded = self.config.face_size // self.geometry.spatial_factor
        sizes = sorted(
            {
                tuple(subject.faces.shape[-2:]) if isinstance(subject, SubjectLatents) else (encoded, encoded)
                for subject in subjects
            }
        )
        if len(sizes) > 1:
            raise ValueError(f"`subjects` have faces of different sizes, in latents {sizes}: encode all the same way.")
        _, patch_height, patch_width = self.transformer.config.patch_size
        if sizes and (sizes[0][0] % patch_height or sizes[0][1] % patch_width):
            raise ValueError(
                f"`subjects` have faces of {sizes[0]} latents, which must be multiples of "
                f"{(patch_height, patch_width)}."
            )

    def _check_reference(self, subject: LoadedSubject | SubjectLatents, num_voice_latents: int, who: str) -> None:
        config = self.transformer.config
        for tower, count in (("video", subject.num_views), ("audio", num_voice_latents)):
            if count and config.identity_weights[tower] == "released":
                raise ValueError(
                    f"{who} needs the {tower} identity weights, which were released. Pass people that were encoded "
                    f"before "
                    "as `identity`, or load the full checkpoint."
                )
        num_frames = max(subject.num_views, num_voice_latents * config.audio_position_scale)
        if config.identity_position == "after_clip" and num_frames > config.identity_span:
            raise ValueError(
                f"{who} takes {num_frames:.1f} latent frames ({subject.num_views} views, {num_voice_latents} latents "
                f"of "
                f"speech), but a subject of this model has {config.identity_span}."
            )
        if isinstance(subject, SubjectLatents):
            subject.check_channels(config.in_channels, config.audio_in_channels, who)
        if subject.card is not None and subject.card.base_model is not None:
            check_model(subject.card.base_model, self.transformer, self._loaded_from, who)

    def _check_noise(self, noise: Towers, clip: ClipGeometry, num_clips: int) -> None:
        shapes = Towers(self._latents_shape(num_clips, clip), self._audio_latents_shape(num_clips, clip))
        for name, value, shape in zip(("latents", "audio_latents"), noise, shapes, strict=True):
            if value is None:
                continue
            if tuple(value.shape) != shape:
                raise ValueError(f"`{name}` must have the shape {list(shape)}, got {list(value.shape)}.")
            if not value.isfinite().all():
                raise ValueError(f"`{name}` contains NaN or infinity.")

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
            dtype: of the result; as computed if `None`.

        Returns:
            `prompt_embeds`, `negative_prompt_embeds`, `audio_negative_prompt_embeds`, each
            `[B * num_videos_per_prompt, T, text_dim]`; the negative ones are `None` without guidance.
        """
        captions = CaptionInputs(
            prompt=prompt,
            negative_prompt=negative_prompt,
            audio_negative_prompt=audio_negative_prompt,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            audio_negative_prompt_embeds=audio_negative_prompt_embeds,
            num_videos_per_prompt=num_videos_per_prompt,
            max_sequence_length=max_sequence_length,
        )
        device = device or self._execution_device

        encode = partial(self._encode_text, max_sequence_length=max_sequence_length, device=device)
        repeat = partial(_repeat_embeds, copies=num_videos_per_prompt, device=device, dtype=dtype)
        if prompt_embeds is None:
            prompt_embeds = encode("prompt", captions.texts)
        prompt_embeds = repeat(prompt_embeds)
        if do_classifier_free_guidance:
            if negative_prompt_embeds is None:
                negative_prompt_embeds = encode("negative_prompt", captions.negative_texts("negative_prompt"))
            if audio_negative_prompt is not None:
                texts = captions.negative_texts("audio_negative_prompt")
                audio_negative_prompt_embeds = encode("audio_negative_prompt", texts)
            elif audio_negative_prompt_embeds is None:
                audio_negative_prompt_embeds = negative_prompt_embeds
            negative_prompt_embeds = repeat(negative_prompt_embeds)
            audio_negative_prompt_embeds = repeat(audio_negative_prompt_embeds)
        else:
            negative_prompt_embeds = audio_negative_prompt_embeds = None
        return prompt_embeds, negative_prompt_embeds, audio_negative_prompt_embeds

    def _encode_text(
        self, name: str, texts: list[str], max_sequence_length: int | None, device: torch.device
    ) -> Tensor:
        """
        Embeddings `[B, max_sequence_length, text_dim]` of the argument called `name`, zero behind each text's end.
        """
        max_sequence_length = self.config.max_sequence_length if max_sequence_length is None else max_sequence_length
        inputs = self.tokenizer(
            texts, padding="max_length", max_length=max_sequence_length, truncation=True, return_tensors="pt"
        )
        for ids, kept in zip(self.tokenizer(texts).input_ids, inputs.input_ids.tolist(), strict=True):
            if len(ids) > max_sequence_length:
                num_kept = next(
                    i for i, pair in enumerate(zip(ids, kept + [None], strict=False)) if pair[0] != pair[1]
                )
                cut = self.tokenizer.decode(ids[num_kept:], skip_special_tokens=True)
                logger.warning(
                    "`%s` has %d tokens, but only %d fit: %r is cut off.", name, len(ids), max_sequence_length, cut
                )
        mask = inputs.attention_mask.to(device)
        embeds = self.text_encoder(inputs.input_ids.to(device), attention_mask=mask).last_hidden_state
        return embeds * mask[..., None]

    def encode_faces(
        self,
        views: Sequence[Image.Image],
        *,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """
        Encode the pictures of one face.

        Args:
            views: images of any size; the short side is scaled to `face_size` and the centre is cropped.
            device: where to put the result.
            dtype: of the result; that of the VAE if `None`.

        Returns:
            Normalised latents `[V, C, h, w]`.
        """
        size = self.config.face_size
        pictures = []
        for view in views:
            scale = size / min(view.size)
            resized = view.convert("RGB").resize(
                [max(size, round(side * scale)) for side in view.size], Image.Resampling.LANCZOS
            )
            left, top = (resized.width - size) // 2, (resized.height - size) // 2
            pictures.append(resized.crop((left, top, left + size, top + size)))
        pixels = self.video_processor.preprocess(pictures, height=size, width=size)
        pixels = pixels.to(device=device or self._execution_device, dtype=self.vae.dtype)
        latents = self.vae.encode(pixels[:, :, None]).latent_dist.mode()
        mean, std = self._latent_statistics(latents)
        return ((latents - mean) / std)[:, :, 0].to(dtype or latents.dtype)

    def encode_voice(
        self,
        voice: AudioSamples,
        *,
        max_seconds: float | None = None,
        is_padded: bool = False,
        sample_posterior: bool = False,
        generator: torch.Generator | None = None,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """
        Encode one recording.

        Args:
            voice: speech of any rate.
            max_seconds: how much of it to use; `max_voice_seconds` of the pipeline if `None`.
            is_padded: fill a shorter recording up with silence.
            sample_posterior: draw latents as the published model does, instead of taking their mean.
            generator: for that draw.
            device: where to put the result.
            dtype: of the result; that of the VAE if `None`.

        Returns:
            Latents `[l, C_audio]`.
        """
        max_seconds = self.config.max_voice_seconds if max_seconds is None else max_seconds
        voice = fit_voice(voice, self.sampling_rate, max_seconds, is_padded)
        mel = self.mel_spectrogram(voice.samples)
        posterior = _encode_mel(self.audio_vae, mel.to(device or self._execution_device, self.audio_vae.dtype))
        latents = posterior.sample(generator) if sample_posterior else posterior.mode()
        # Channels are encoded apart and averaged as latents, as published.
        latents = latents.mean(dim=0) * self.audio_vae.config.scaling_factor
        return latents.transpose(0, 1).to(dtype or latents.dtype)

    # The result outlives the call: a graph behind it would keep alive the weights that `release_identity_weights`
    # frees.
    @torch.no_grad()
    def encode_identity(
        self,
        subjects: Sequence[SubjectInput] | Sequence[Sequence[SubjectInput]],
        *,
        num_frames: int | None = None,
        frame_rate: float | None = None,
        skip_guidance_layers: Sequence[int] = (),
        compat: str = "native",
        generator: torch.Generator | list[torch.Generator] | None = None,
        attention_kwargs: dict[str, Any] | None = None,
    ) -> EncodedIdentity:
        """
        Read, encode and run the references of a generation, once and for all its steps and guidance branches.

        Args:
            subjects: the people of every clip, or one such list per prompt.
            num_frames: frames of the clips to generate.
            frame_rate: frames per second of the clips to generate.
            skip_guidance_layers: as it will be given to `__call__`.
            compat: likewise. `"official"` draws voices from their posterior; several are cut or padded to 6 s.
            generator: for those draws; a list has one per list of `subjects`.
            attention_kwargs: `{"scale": s}` scales LoRA weights.

        Returns:
            [`EncodedIdentity`], to pass as `identity`.
        """
        guidance = GuidanceSettings(skip_guidance_layers=skip_guidance_layers, compat=compat)
        people = LoadedIdentity.load(subjects)
        clip = self._clip(None, None, num_frames, frame_rate, max(people.num_subjects))
        _check_generator(generator, len(people.samples), "lists of `subjects`")
        attention_kwargs = checked_attention_kwargs(attention_kwargs)
        self._check_layers(guidance.skip_guidance_layers)
        self._check_references(people, clip, guidance.is_official)
        align_weights(self.transformer, self._execution_device)
        branches = guidance.plan(people.face_scales, people.voice_scales).branches
        encoded = self._encode_people(people, clip, branches, guidance.is_official, generator, attention_kwargs)
        return dataclasses.replace(encoded, model_fingerprint=model_fingerprint(self.transformer))

    def _encode_people(
        self,
        people: LoadedIdentity,
        clip: ClipGeometry,
        branches: Sequence[Branch],
        is_official: bool,
        generator: torch.Generator | list[torch.Generator] | None,
        attention_kwargs: dict[str, Any] | None,
    ) -> EncodedIdentity:
        generators = generator if isinstance(generator, list) else [generator] * len(people.samples)
        latents = []
        for index, sample in enumerate(people.samples):
            num_voices = sum(subject.voice is not None for subject in sample)
            # The mean of a posterior needs no generator; the published model draws, once per clip.
            voice_options = {"max_seconds": self._voice_seconds(num_voices, clip, is_official)}
            if is_official:
                voice_options |= {
                    "is_padded": num_voices > 1,
                    "sample_posterior": True,
                    "generator": generators[index],
                }
            latents.append([self._encode_subject(subject, voice_options) for subject in sample])
        memories = {}
        for key in dict.fromkeys(branch.identity for branch in branches):
            kept = [drop_conditions(sample, key.dropped_faces, key.dropped_voices) for sample in latents]
            memories[key] = self._remember_people(kept, clip, key.skip_layers, attention_kwargs)
        return EncodedIdentity(
            memories=memories,
            num_latent_frames=clip.num_latent_frames,
            num_audio_latents=clip.num_audio_latents,
            num_subjects=people.num_subjects,
            face_scales=people.face_scales,
            voice_scales=people.voice_scales,
            references=people.references,
            adapters=people.adapters,
        )

    def _remember_people(
        self,
        samples: Sequence[Sequence[SubjectLatents]],
        clip: ClipGeometry,
        skip_layers: tuple[int, ...],
        attention_kwargs: dict[str, Any] | None,
    ) -> IAPIdentityMemory | None:
        """What the layers read of these people, each under their own adapter; `None` if there is nothing to read."""
        adapters = dict.fromkeys(subject.adapter for sample in samples for subject in sample)
        bound = frozenset(adapter for adapter in adapters if adapter is not None)
        memories = []
        for adapter in adapters:
            # Everybody keeps their place, which decides position and slot.
            owners = [[s if s.adapter == adapter else SubjectLatents() for s in sample] for sample in samples]
            inputs = collate_identity(owners)
            if inputs is not None:
                with self._adapters_of_nobody(bound, adapter):
                    memory = self.transformer.encode_identity(
                        inputs,
                        clip.num_latent_frames,
                        clip.num_audio_latents,
                        skip_layers=skip_layers,
                        attention_kwargs=attention_kwargs,
                    )
                memories.append(memory)
        return merge_memories(memories) if memories else None

    def _adapters_of_nobody(self, bound: frozenset[str], adapter: str | None = None) -> AbstractContextManager[None]:
        """Inside, active adapters act, except those that belong to somebody; so does `adapter`, for its owner."""
        bound = bound | owned_adapters(self.transformer)
        if not bound:
            return nullcontext()
        free = [name for name in active_adapters(self.transformer) if name not in bound]
        return only_adapters(self.transformer, free if adapter is None else [*free, adapter])

    def _encode_subject(
        self, subject: LoadedSubject | SubjectLatents, voice_options: dict[str, Any]
    ) -> SubjectLatents:
        if isinstance(subject, SubjectLatents):
            faces, voice = subject.faces, subject.voice
        else:
            faces = self.encode_faces(subject.views) if subject.views else None
            voice = None if subject.voice is None else self.encode_voice(subject.voice, **voice_options)
        device, dtype = self._execution_device, self.transformer.dtype
        return SubjectLatents(
            None if faces is None else faces.to(device, dtype),
            None if voice is None else voice.to(device, dtype),
            adapter=subject.adapter,
        )

    def _voice_seconds(self, num_voices: int, clip: ClipGeometry, is_official: bool) -> float:
        """How much of a recording is used."""
        if not is_official:
            return self.config.max_voice_seconds
        if num_voices > 1:
            return OFFICIAL_VOICE_SECONDS
        return min(clip.num_audio_latents / self.geometry.audio_latents_per_second, OFFICIAL_MAX_VOICE_SECONDS)

    def _count_voice_latents(
        self, subject: LoadedSubject | SubjectLatents, num_voices: int, clip: ClipGeometry, is_official: bool
    ) -> int:
        if subject.voice is None:
            return 0
        if isinstance(subject, SubjectLatents):
            return subject.voice.shape[0]
        seconds = self._voice_seconds(num_voices, clip, is_official)
        if not (is_official and num_voices > 1):
            seconds = min(seconds, subject.voice.duration_seconds)
        return self.geometry.voice_latents(round(seconds * self.sampling_rate))

    def enable_group_offload(
        self,
        onload_device: str | torch.device,
        offload_device: str | torch.device = "cpu",
        offload_type: str = "block_level",
        num_blocks_per_group: int | None = None,
        *,
        offload_to_disk_path: str | None = None,
        exclude_modules: str | Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        """
        [`DiffusionPipeline.enable_group_offload`], where that is right for our parts; the arguments are the same.

        `audio_vae` stays on `onload_device`: its methods use parts of modules, which hooks on calls of whole ones do
        not fetch. On disk every component has a folder of its own: files are named by layer alone, and several
        components have layers of the same name.
        """
        if self.text_encoder is not None:
            # One module instead of two with tied weights, of which the second to be offloaded would be empty by then.
            self.text_encoder.set_input_embeddings(self.text_encoder.get_input_embeddings())
        excluded = {"audio_vae", *([exclude_modules] if isinstance(exclude_modules, str) else exclude_modules or ())}
        for name, component in self.components.items():
            if name in excluded and isinstance(component, torch.nn.Module):
                component.to(onload_device)
            elif isinstance(component, torch.nn.Module):
                folder = None if offload_to_disk_path is None else os.path.join(offload_to_disk_path, name)
                enable = getattr(component, "enable_group_offload", None) or partial(apply_group_offloading, component)
                enable(
                    onload_device=onload_device,
                    offload_device=offload_device,
                    offload_type=offload_type,
                    num_blocks_per_group=num_blocks_per_group,
                    offload_to_disk_path=folder,
                    **options,
                )

    def release_identity_weights(self) -> None:
        """
        Free the weights that only references use, where the transformer has such (`identity_weights` other than
        `"shared"`). Call it after `encode_identity`; from then on clips are generated with `identity=...`, and
        `save_pretrained` writes a slim checkpoint for a fixed set of people.
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
        shape = self._latents_shape(batch_size, clip)
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
        shape = self._audio_latents_shape(batch_size, clip)
        return randn_tensor(shape, generator=generator, device=device, dtype=torch.float32)

    def _latents_shape(self, batch_size: int, clip: ClipGeometry) -> tuple[int, ...]:
        channels = self.transformer.config.in_channels
        return batch_size, channels, clip.num_latent_frames, clip.latent_height, clip.latent_width

    def _audio_latents_shape(self, batch_size: int, clip: ClipGeometry) -> tuple[int, ...]:
        return batch_size, clip.num_audio_latents, self.transformer.config.audio_in_channels

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        sigmas: Sequence[float] | None = None,
        device: torch.device | None = None,
    ) -> Tensor:
        """
        Set the scheduler's steps and return its timesteps.

        Noise levels before the scheduler's shift fall evenly from 0.999 (in float32, as published) unless `sigmas`
        are given.
        They are passed explicitly since the scheduler's own grid is another one and differs between diffusers
        versions.

        Args:
            num_inference_steps: number of steps; the pipeline's own if `None`.
            sigmas: falling noise levels in (0, 1], instead of `num_inference_steps`.
            device: where to put the timesteps.
        """
        if sigmas is None:
            if num_inference_steps is None:
                num_inference_steps = self.config.num_inference_steps
            if not isinstance(num_inference_steps, int) or num_inference_steps < 1:
                raise ValueError(f"`num_inference_steps` must be 1 or more, got {num_inference_steps!r}.")
            sigmas = np.linspace(float(np.float32(0.999)), 0, num_inference_steps + 1)[:-1]
        elif num_inference_steps is not None:
            raise ValueError("Pass at most one of `num_inference_steps` and `sigmas`.")
        sigmas = np.asarray(sigmas, dtype=np.float64)
        if sigmas.ndim != 1 or not sigmas.size or not (np.diff(sigmas, append=0) < 0).all() or sigmas[0] > 1:
            raise ValueError(f"`sigmas` must fall from at most 1 and stay above 0, got {sigmas.tolist()}.")
        self.scheduler.set_timesteps(sigmas=sigmas, device=device)
        return self.scheduler.timesteps

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Video latents `[B, C, F, h, w]` to pictures `[B, 3, F, H, W]` in about [-1, 1]."""
        mean, std = self._latent_statistics(latents)
        latents = latents * std + mean
        return self.vae.decode(latents.to(self.vae.dtype), return_dict=False)[0]

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
        self,
        height: int | None,
        width: int | None,
        num_frames: int | None,
        frame_rate: float | None,
        num_subjects: int,
    ) -> ClipGeometry:
        """Sizes of the clip; what is `None` is the checkpoint's own choice for that many people."""
        default_height, default_width = self.config.sizes_by_subjects.get(
            str(num_subjects), (self.config.height, self.config.width)
        )
        clip = self.geometry.clip(
            default_height if height is None else height,
            default_width if width is None else width,
            self.config.num_frames if num_frames is None else num_frames,
            self.config.frame_rate if frame_rate is None else frame_rate,
        )
        drift = self.geometry.audio_position_scale(clip.frame_rate) / self.transformer.config.audio_position_scale
        if abs(drift - 1) > MAX_DRIFT:
            logger.warning(
                "`frame_rate`=%g, but this model puts sound and picture on one time axis at %g frames/s: mouths and "
                "words will drift apart.",
                clip.frame_rate,
                clip.frame_rate / drift,
            )
        return clip

    @torch.no_grad()
    @replace_example_docstring(EXAMPLE_DOC_STRING)
    def __call__(
        self,
        prompt: Prompt | Sequence[Prompt] | None = None,
        subjects: Sequence[SubjectInput] | Sequence[Sequence[SubjectInput]] | None = None,
        *,
        negative_prompt: str | Sequence[str] | None = None,
        audio_negative_prompt: str | Sequence[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_frames: int | None = None,
        frame_rate: float | None = None,
        num_inference_steps: int | None = None,
        sigmas: Sequence[float] | None = None,
        guidance_scale: float | None = None,
        audio_guidance_scale: float | None = None,
        face_guidance_scale: float | None = None,
        voice_guidance_scale: float | None = None,
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
                The people of every clip, or one list per prompt. Each may have a face, a voice, both or neither. Also
                accepted: [`SubjectLatents`], people whose references are latents already.
            negative_prompt (`str` or `list[str]`, *optional*):
                What the picture should not be like.
            audio_negative_prompt (`str` or `list[str]`, *optional*):
                What the sound should not be like. `negative_prompt` if not given.
            height (`int`, *optional*):
                Pixels. The checkpoint's own size if not given; so are `width`, `num_frames`, `frame_rate`,
                `num_inference_steps` and the four guidance scales.
            width (`int`, *optional*):
                Pixels.
            num_frames (`int`, *optional*):
                Frames, one more than a multiple of the VAE's temporal factor.
            frame_rate (`float`, *optional*):
                Frames per second; decides how much sound belongs to the frames.
            num_inference_steps (`int`, *optional*):
                Denoising steps.
            sigmas (`list[float]`, *optional*):
                Falling noise levels in (0, 1] before the scheduler's shift, instead of `num_inference_steps`.
            guidance_scale (`float`, *optional*):
                How strongly the picture follows the caption rather than the negative prompt. 1 is neutral, as for all
                scales.
            audio_guidance_scale (`float`, *optional*):
                Likewise for the sound.
            face_guidance_scale (`float`, *optional*):
                How strongly the picture follows all references rather than none.
            voice_guidance_scale (`float`, *optional*):
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
                `"official"` reproduces the published semantics: voices dropped in the unconditional branch, voices
                drawn from their posterior and padded to 6 s when there are several, anchors not required, and text
                guidance decided by `guidance_scale` alone.
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
            [`IAPPipelineOutput`], or the `tuple` of its `frames` and `audio`.
        """
        if isinstance(callback_on_step_end, PipelineCallback | MultiPipelineCallbacks):
            callback_on_step_end_tensor_inputs = callback_on_step_end.tensor_inputs

        # 1. Read the references and check everything: whatever can fail fails here.
        captions = CaptionInputs(
            prompt=prompt,
            negative_prompt=negative_prompt,
            audio_negative_prompt=audio_negative_prompt,
            prompt_embeds=prompt_embeds,
            negative_prompt_embeds=negative_prompt_embeds,
            audio_negative_prompt_embeds=audio_negative_prompt_embeds,
            num_videos_per_prompt=num_videos_per_prompt,
            max_sequence_length=max_sequence_length,
        )
        guidance = GuidanceSettings.of_call(
            self.config,
            guidance_scale=guidance_scale,
            audio_guidance_scale=audio_guidance_scale,
            face_guidance_scale=face_guidance_scale,
            voice_guidance_scale=voice_guidance_scale,
            skip_guidance_layers=skip_guidance_layers,
            compat=compat,
        )
        if identity is not None and subjects is not None:
            raise ValueError("Pass at most one of `subjects` and `identity`.")
        people = LoadedIdentity.load(subjects or []) if identity is None else identity
        clip = self._clip(height, width, num_frames, frame_rate, max(people.num_subjects))
        self.check_inputs(
            captions,
            people,
            guidance,
            clip,
            Towers(latents, audio_latents),
            generator,
            output_type,
            callback_on_step_end_tensor_inputs,
        )
        align_weights(self.transformer, self._execution_device)
        device, dtype, num_clips = self._execution_device, self.transformer.dtype, captions.num_clips
        timesteps = self.set_timesteps(num_inference_steps, sigmas, device)
        audio_scheduler = copy.deepcopy(self.scheduler)

        copies = num_clips // len(people.num_subjects)
        plan = guidance.plan(
            repeat_rows(people.face_scales, copies), repeat_rows(people.voice_scales, copies), people.has_references
        )
        self._guidance_scale = guidance.guidance_scale
        self._do_classifier_free_guidance = plan.uses_negative_prompt
        self._attention_kwargs = checked_attention_kwargs(attention_kwargs)
        self._bound_adapters = people.adapters
        self._num_timesteps = len(timesteps)
        self._current_timestep = None
        self._interrupt = False

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

        # 3. Identity
        if identity is None:
            # The published model draws voices, so that every clip has its own.
            people = people.expand(num_clips) if guidance.is_official else people
            identity = self._encode_people(
                people, clip, plan.branches, guidance.is_official, generator, attention_kwargs
            )
        identity = identity.expand(num_clips).to(device, dtype)
        identity_memories = {branch.name: identity.memory(branch) for branch in plan.branches}
        # Only now, so that with offloading the transformer enters the device once, after the codecs.
        caption_memories = self._remember_captions(prompt_embeds, negative_prompt_embeds, audio_negative_prompt_embeds)

        # 4. Noise
        latents = self.prepare_latents(num_clips, clip, device, generator, latents)
        audio_latents = self.prepare_audio_latents(num_clips, clip, device, generator, audio_latents)

        # 5. Denoise
        with self.progress_bar(total=len(timesteps)) as progress_bar:
            for i, t in enumerate(timesteps):
                if self.interrupt:
                    continue
                self._current_timestep = t

                velocity, audio_velocity = self._predict(
                    latents.to(dtype),
                    audio_latents.to(dtype),
                    t.expand(num_clips),
                    plan,
                    caption_memories,
                    identity_memories,
                )
                latents = self.scheduler.step(velocity, t, latents, return_dict=False)[0]
                audio_latents = audio_scheduler.step(audio_velocity, t, audio_latents, return_dict=False)[0]

                if callback_on_step_end is not None:
                    callback_kwargs = {}
                    for name in callback_on_step_end_tensor_inputs:
                        callback_kwargs[name] = locals()[name]
                    callback_outputs = callback_on_step_end(self, i, t, callback_kwargs) or {}
                    has_new_caption = any(name.endswith("prompt_embeds") for name in callback_outputs)
                    latents = callback_outputs.pop("latents", latents)
                    audio_latents = callback_outputs.pop("audio_latents", audio_latents)
                    prompt_embeds = callback_outputs.pop("prompt_embeds", prompt_embeds)
                    negative_prompt_embeds = callback_outputs.pop("negative_prompt_embeds", negative_prompt_embeds)
                    audio_negative_prompt_embeds = callback_outputs.pop(
                        "audio_negative_prompt_embeds", audio_negative_prompt_embeds
                    )
                    if has_new_caption:
                        caption_memories = self._remember_captions(
                            prompt_embeds, negative_prompt_embeds, audio_negative_prompt_embeds
                        )

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
        model = model_provenance(self)
        provenance = tuple(dataclasses.replace(model, references=sample) for sample in identity.references)
        return IAPPipelineOutput(frames=frames, audio=audio, provenance=provenance)

    def _remember_captions(
        self, prompt_embeds: Tensor, negative_prompt_embeds: Tensor | None, audio_negative_prompt_embeds: Tensor | None
    ) -> dict[bool, tuple[LayerMemory, ...]]:
        """What the layers read of the prompt (`True`) and of the negative prompts (`False`)."""
        encode = partial(self.transformer.encode_caption, attention_kwargs=self.attention_kwargs)
        with self._adapters_of_nobody(self._bound_adapters):
            memories = {True: encode(prompt_embeds)}
            if negative_prompt_embeds is not None:
                memories[False] = encode(negative_prompt_embeds, audio_negative_prompt_embeds)
        return memories

    def _predict(
        self,
        latents: Tensor,
        audio_latents: Tensor,
        timestep: Tensor,
        plan: GuidancePlan,
        caption_memories: dict[bool, tuple[LayerMemory, ...]],
        identity_memories: dict[str, IAPIdentityMemory | None],
    ) -> tuple[Tensor, Tensor]:
        """Guided velocities of picture and sound, float32: one call of the transformer per branch."""
        video_predictions, audio_predictions = {}, {}
        for branch in plan.branches:
            with self._adapters_of_nobody(self._bound_adapters), self.transformer.cache_context(branch.name):
                velocity, audio_velocity = self.transformer(
                    hidden_states=latents,
                    audio_hidden_states=audio_latents,
                    timestep=timestep,
                    caption_memory=caption_memories[branch.has_prompt],
                    identity_memory=identity_memories[branch.name],
                    skip_layers=branch.identity.skip_layers,
                    attention_kwargs=self.attention_kwargs,
                    return_dict=False,
                )
            # Guidance multiplies differences of predictions, and with them the rounding of a low precision.
            video_predictions[branch.name], audio_predictions[branch.name] = velocity.float(), audio_velocity.float()
        return (
            apply_guidance(video_predictions, plan.video_scales),
            apply_guidance(audio_predictions, plan.audio_scales),
        )


def codec_geometry(
    vae: AutoencoderKLWan | None, audio_vae: MMAudioVAE | None, transformer: IAPTransformer3DModel | None
) -> CodecGeometry:
    """The sizes that follow from these components; the published ones where a component is missing."""
    geometry = CodecGeometry()
    if vae is not None:
        geometry = dataclasses.replace(
            geometry, spatial_factor=vae.config.scale_factor_spatial, temporal_factor=vae.config.scale_factor_temporal
        )
    if audio_vae is not None:
        config = audio_vae.config
        geometry = dataclasses.replace(
            geometry, sampling_rate=config.sample_rate, samples_per_latent=2 * config.hop_length
        )
    if transformer is not None:
        geometry = dataclasses.replace(geometry, patch_size=tuple(transformer.config.patch_size))
    return geometry


def mel_front_end(audio_vae: MMAudioVAE) -> MMAudioMelSpectrogram:
    """
    Mel spectrograms as the audio VAE computes them.

    It has one itself, but there a pipeline in bfloat16 casts the window, which no STFT takes.
    """
    config = audio_vae.config
    return MMAudioMelSpectrogram(config.sample_rate, config.n_fft, config.mel_bins, config.hop_length)


def align_weights(module: torch.nn.Module, execution_device: torch.device) -> None:
    """
    Copy weights that compute on the CPU but lie off the 64-byte grid, as in a memory-mapped file.

    Matrix products round differently there, so that a loaded pipeline would differ from the saved one in the last bit.
    """
    if execution_device.type != "cpu":
        return
    for parameter in module.parameters():
        if parameter.device.type == "cpu" and parameter.data_ptr() % 64:
            parameter.data = parameter.data.clone()


@apply_forward_hook
def _encode_mel(audio_vae: MMAudioVAE, mel: Tensor) -> DiagonalGaussianDistribution:
    """`MMAudioVAE.encode` behind its mel front end; brings an offloaded VAE to its device as that does."""
    return DiagonalGaussianDistribution(audio_vae.vae.encode(mel))


def checked_attention_kwargs(attention_kwargs: dict[str, Any] | None) -> dict[str, Any] | None:
    unknown = sorted(set(attention_kwargs or {}) - {"scale"})
    if unknown:
        raise ValueError(f"`attention_kwargs` takes only 'scale', got {unknown}.")
    return attention_kwargs


def _check_beginning(voice: AudioSamples | None, seconds: float, who: str) -> None:
    """That there is something to hear in what is used of a recording."""
    if voice is not None and is_silent(voice.samples[:, : round(seconds * voice.sampling_rate)]):
        raise ValueError(
            f"Voice of {who}: the first {seconds:g} s, all that is used, are silent. Cut the silence off."
        )


def _check_generator(generator: torch.Generator | list[torch.Generator] | None, count: int, what: str) -> None:
    generators = generator if isinstance(generator, list) else [generator] * count
    if len(generators) != count:
        raise ValueError(f"`generator` has {len(generators)} entries for {count} {what}.")
    if not all(entry is None or isinstance(entry, torch.Generator) for entry in generators):
        raise ValueError(f"`generator` must be a `torch.Generator` or a list of them, got {generator!r}.")


def _repeat_embeds(embeds: Tensor, copies: int, device: torch.device, dtype: torch.dtype | None) -> Tensor:
    """`copies` of each caption's embeddings, next to each other."""
    return embeds.to(device=device, dtype=dtype).repeat_interleave(copies, dim=0)
