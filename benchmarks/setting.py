"""The model and the clip that the loop benchmarks share, and a pipeline around nothing but the transformer."""

from dataclasses import dataclass

import torch
from diffusers import UniPCMultistepScheduler
from torch import Tensor

from iap_pipelines import IAPPipeline, IAPTransformer3DModel
from iap_pipelines.pipelines.identity import EncodedIdentity, SubjectLatents


FRAMES_PER_SECOND = 16.6
"""17 frames last as long as 32 audio latents."""
PIXELS_PER_LATENT = 16
FRAMES_PER_LATENT = 4


@dataclass(frozen=True)
class LoopSetting:
    """Sizes of one measured generation. The defaults are the project's reference setting."""

    num_attention_heads: int = 8
    attention_head_dim: int = 64
    ffn_dim: int = 2048
    num_layers: int = 8
    text_dim: int = 4096
    video_channels: int = 48
    audio_channels: int = 20
    num_latent_frames: int = 5
    latent_size: int = 16
    """rows and columns of the clip's latents and of a face's"""
    num_caption_tokens: int = 64
    num_voice_latents: int = 32
    num_subjects: int = 1
    num_inference_steps: int = 10

    @property
    def num_frames(self) -> int:
        return FRAMES_PER_LATENT * (self.num_latent_frames - 1) + 1

    def transformer(self, cls: type[IAPTransformer3DModel] = IAPTransformer3DModel) -> IAPTransformer3DModel:
        """A model with random weights, the same ones whatever the class."""
        torch.manual_seed(0)
        model = cls(
            in_channels=self.video_channels,
            audio_in_channels=self.audio_channels,
            num_attention_heads=self.num_attention_heads,
            attention_head_dim=self.attention_head_dim,
            ffn_dim=self.ffn_dim,
            num_layers=self.num_layers,
            text_dim=self.text_dim,
        )
        return model.eval().requires_grad_(False)

    def captions(self) -> tuple[Tensor, Tensor]:
        """Embeddings of a prompt and of a negative prompt."""
        shape = (1, self.num_caption_tokens, self.text_dim)
        return _noise(shape, seed=1), _noise(shape, seed=2)

    def subjects(self) -> list[SubjectLatents]:
        """Everybody has one view of a face and one recording."""
        face_shape = (1, self.video_channels, self.latent_size, self.latent_size)
        voice_shape = (self.num_voice_latents, self.audio_channels)
        return [
            SubjectLatents(_noise(face_shape, seed=10 + index), _noise(voice_shape, seed=20 + index))
            for index in range(self.num_subjects)
        ]


def transformer_pipeline(transformer: IAPTransformer3DModel) -> IAPPipeline:
    """A pipeline that starts from embeddings and latents and ends with latents."""
    scheduler = UniPCMultistepScheduler(
        use_flow_sigmas=True, flow_shift=5.0, prediction_type="flow_prediction", num_train_timesteps=1000
    )
    pipe = IAPPipeline(
        tokenizer=None,
        text_encoder=None,
        transformer=transformer,
        vae=None,
        audio_vae=None,
        vocoder=None,
        scheduler=scheduler,
        frame_rate=FRAMES_PER_SECOND,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def generate_latents(
    pipe: IAPPipeline, setting: LoopSetting, identity: EncodedIdentity | None = None
) -> tuple[Tensor, Tensor]:
    """
    One generation through `IAPPipeline.__call__`: encode caption and identity, then denoise both towers with guidance.

    Args:
        pipe: from `transformer_pipeline`.
        setting: sizes.
        identity: people encoded before; the setting's subjects are encoded if `None`.
    """
    prompt_embeds, negative_prompt_embeds = setting.captions()
    side = setting.latent_size * PIXELS_PER_LATENT
    return pipe(
        prompt_embeds=prompt_embeds,
        negative_prompt_embeds=negative_prompt_embeds,
        subjects=setting.subjects() if identity is None else None,
        identity=identity,
        height=side,
        width=side,
        num_frames=setting.num_frames,
        num_inference_steps=setting.num_inference_steps,
        generator=torch.Generator().manual_seed(0),
        output_type="latent",
        return_dict=False,
    )


def _noise(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
