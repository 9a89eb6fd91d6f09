"""A pipeline of the true classes, as small as they go, with random weights."""

import torch
from diffusers import AutoencoderKLWan, MMAudioVAE, UniPCMultistepScheduler
from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from iap_pipelines import IAPPipeline, IAPTransformer3DModel


ANCHORS = ["<S1>", "<S2>", "<S3>", "<S4>"]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {"<pad>": 0, "</s>": 1, "<unk>": 2, **{chr(code): code - 94 for code in range(97, 123)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=ANCHORS,
    )


def tiny_transformer(**changes: object) -> IAPTransformer3DModel:
    config = {
        "in_channels": 4,
        "audio_in_channels": 6,
        "num_attention_heads": 2,
        "attention_head_dim": 12,
        "ffn_dim": 32,
        "num_layers": 3,
        "text_dim": 16,
        "freq_dim": 32,
        "audio_embed_dim": 16,
        "audio_position_scale": 0.1,
        "identity_attention": "per_subject",
        "identity_position": "after_clip",
        "identity_span": 8,
        "num_identity_slots": 4,
    }
    torch.manual_seed(0)
    return IAPTransformer3DModel(**(config | changes)).eval()


def tiny_components(**transformer_changes: object) -> dict:
    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    text_encoder = UMT5EncoderModel(
        UMT5Config(vocab_size=len(tokenizer), d_model=16, d_ff=32, d_kv=8, num_heads=2, num_layers=1, dropout_rate=0.0)
    ).eval()
    torch.manual_seed(0)
    vae = AutoencoderKLWan(
        base_dim=4,
        decoder_base_dim=4,
        z_dim=4,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        scale_factor_temporal=4,
        latents_mean=[0.1, -0.2, 0.3, 0.0],
        latents_std=[0.5, 1.0, 2.0, 1.5],
    ).eval()
    torch.manual_seed(0)
    audio_vae = MMAudioVAE(
        mel_bins=80,
        latent_channels=6,
        hidden_channels=8,
        layers_per_block=1,
        sample_rate=16_000,
        n_fft=1024,
        hop_length=256,
        scaling_factor=1.0,
    ).eval()
    torch.manual_seed(0)
    vocoder = LTX2Vocoder(
        in_channels=80,
        hidden_channels=64,
        out_channels=1,
        upsample_kernel_sizes=[8, 8, 4, 4, 4, 4],
        upsample_factors=[4, 4, 2, 2, 2, 2],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1]],
        act_fn="snakebeta",
        antialias=True,
        final_act_fn="tanh",
        final_bias=True,
        output_sampling_rate=16_000,
    ).eval()
    return {
        "tokenizer": tokenizer,
        "text_encoder": text_encoder,
        "transformer": tiny_transformer(**transformer_changes),
        "vae": vae,
        "audio_vae": audio_vae,
        "vocoder": vocoder,
        "scheduler": UniPCMultistepScheduler(
            use_flow_sigmas=True, flow_shift=5.0, prediction_type="flow_prediction", num_train_timesteps=1000
        ),
    }


def tiny_pipeline(**transformer_changes: object) -> IAPPipeline:
    pipe = IAPPipeline(
        **tiny_components(**transformer_changes),
        height=32,
        width=64,
        num_frames=5,
        frame_rate=12.5,
        num_inference_steps=2,
        face_size=32,
        max_voice_seconds=0.5,
        max_sequence_length=24,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
