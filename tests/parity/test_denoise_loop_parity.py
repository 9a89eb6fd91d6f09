"""The published guidance loops through `IAPPipeline.__call__` itself, compared after every step."""

from typing import Any

import pytest
import torch
from diffusers import UniPCMultistepScheduler
from torch import Tensor
from torch.nn import functional as F

from iap_pipelines import IAPPipeline, IAPTransformer3DModel
from iap_pipelines.conversion.transformer import convert_transformer_state_dict
from iap_pipelines.pipelines.identity import SubjectLatents
from tests.parity.loop_fixtures import FIXTURES


pytestmark = FIXTURES.marks
TOLERANCE = {"atol": 5e-5, "rtol": 0}
WEIGHTS, CASES, LOOPS = "dual tower state dict", "dual tower inputs", "CFG loops"


@pytest.fixture(scope="module")
def transformer() -> IAPTransformer3DModel:
    weights, entry = FIXTURES.read(WEIGHTS)
    model = IAPTransformer3DModel(**transformer_config(weights, entry)).eval()
    model.load_state_dict(convert_transformer_state_dict(weights, entry["video_config"]["num_layers"]), strict=True)
    return model


@pytest.fixture(scope="module")
def conditions() -> dict[str, Tensor]:
    """Captions, faces and voices that all loops share; captions zero-padded as the published model does."""
    tensors, _ = FIXTURES.read(CASES)
    text_len = FIXTURES.entry(WEIGHTS)["video_config"]["text_len"]
    for name, value in tensors.items():
        if name.startswith("shared/ctx"):
            tensors[name] = F.pad(value, (0, 0, 0, text_len - value.shape[0]))[None]
    return tensors


@pytest.mark.parametrize("loop", FIXTURES.entry(LOOPS).get("loops", ()), ids=lambda loop: loop["name"])
@pytest.mark.parametrize("is_precomputed", [False, True], ids=["subjects", "identity"])
def test_loop(transformer, conditions, loop, is_precomputed):
    tensors, _ = FIXTURES.read(LOOPS)
    expected = {key.removeprefix(f"{loop['name']}/"): value for key, value in tensors.items()}
    pipe = loop_pipeline(transformer, loop["shift"])
    options = call_options(pipe, conditions, expected, loop)
    if is_precomputed:
        keys = ("num_frames", "frame_rate", "skip_guidance_layers", "compat")
        people = pipe.encode_identity(options.pop("subjects"), **{key: options[key] for key in keys})
        options["identity"] = people

    states = []

    def keep_state(pipe: IAPPipeline, step: int, timestep: Tensor, state: dict[str, Tensor]) -> dict[str, Tensor]:
        states.append(dict(state))
        return {}

    video, audio = pipe(**options, callback_on_step_end=keep_state, output_type="latent", return_dict=False)
    assert len(states) == loop["steps"]
    for step, state in enumerate(states):
        for name, ours in (("video_latents", state["latents"]), ("audio_latents", state["audio_latents"])):
            torch.testing.assert_close(
                ours, expected[name][step], **TOLERANCE, msg=lambda text, where=(name, step): f"{where}: {text}"
            )
    assert torch.equal(video, states[-1]["latents"]) and torch.equal(audio, states[-1]["audio_latents"])


def transformer_config(weights: dict[str, Tensor], entry: dict[str, Any]) -> dict[str, Any]:
    video, audio = entry["video_config"], entry["audio_config"]
    return {
        "patch_size": tuple(video["patch_size"]),
        "in_channels": video["in_dim"],
        "audio_in_channels": audio["in_dim"],
        "num_attention_heads": video["num_heads"],
        "attention_head_dim": video["dim"] // video["num_heads"],
        "ffn_dim": video["ffn_dim"],
        "num_layers": video["num_layers"],
        "text_dim": video["text_dim"],
        "freq_dim": video["freq_dim"],
        "audio_embed_dim": weights["audio_model.patch_embedding.2.w1.weight"].shape[0],
        "eps": video["eps"],
        "audio_position_scale": audio["temporal_rope_scaling_factor"],
        "face_position": video["x_prime_rope_offsets"][0],
        "voice_position": audio["x_prime_rope_offsets"][0],
    }


def loop_pipeline(transformer: IAPTransformer3DModel, shift: float) -> IAPPipeline:
    """Only the parts that a loop over latents needs."""
    missing = dict.fromkeys(("tokenizer", "text_encoder", "vae", "audio_vae", "vocoder"))
    scheduler = UniPCMultistepScheduler(use_flow_sigmas=True, flow_shift=shift, prediction_type="flow_prediction")
    pipe = IAPPipeline(**missing, transformer=transformer, scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def call_options(
    pipe: IAPPipeline, conditions: dict[str, Tensor], expected: dict[str, Tensor], loop: dict[str, Any]
) -> dict[str, Any]:
    latents, audio_latents = expected["init_video"], expected["init_audio"]
    num_frames = (latents.shape[2] - 1) * pipe.geometry.temporal_factor + 1
    faces, voices = conditions["shared/faces"], conditions["shared/voices"]
    assert loop["slg_layer_cond"] <= 0, "the pipeline never skips a layer of the conditional branch"
    # The published code skips nothing for layer 0, as for -1.
    skipped = loop["slg_layer_uncond"]
    return {
        "subjects": [SubjectLatents(faces=faces[:, :, k].clone(), voice=voices[k]) for k in range(loop["subjects"])],
        "prompt_embeds": conditions["shared/ctx_pos"],
        "negative_prompt_embeds": conditions["shared/ctx_video_neg"],
        "audio_negative_prompt_embeds": conditions["shared/ctx_audio_neg"],
        "latents": latents,
        "audio_latents": audio_latents,
        "height": latents.shape[3] * pipe.geometry.spatial_factor,
        "width": latents.shape[4] * pipe.geometry.spatial_factor,
        "num_frames": num_frames,
        # Any rate at which so many frames last as long as so much sound.
        "frame_rate": num_frames * pipe.geometry.audio_latents_per_second / (audio_latents.shape[1] + 0.5),
        "num_inference_steps": loop["steps"],
        "guidance_scale": loop["video_guidance"],
        "audio_guidance_scale": loop["audio_guidance"],
        "skip_guidance_layers": (skipped,) if skipped > 0 else (),
        "compat": "official",
    }
