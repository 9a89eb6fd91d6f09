"""Whatever cannot work says so, by name, before anything heavy runs."""

import re

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from iap_pipelines import StructuredCaption, Subject
from iap_pipelines.pipelines.identity import SubjectLatents
from iap_pipelines.types import AudioSamples
from tests.pipelines.tiny_components import tiny_pipeline
from tests.pipelines.tiny_people import face, generate, person, seeded, voice


ADA = person(1)
EMBEDS = torch.ones(1, 5, 16)
NAN_EMBEDS = torch.full((1, 5, 16), float("nan"))


def sound(value, seconds=0.5):
    return AudioSamples(torch.full((1, round(seconds * 16_000)), value), 16_000)


@pytest.fixture
def idle(pipe):
    """The pipeline, held to running neither the transformer nor the text encoder."""
    calls = []
    watched = (pipe.transformer.blocks[0], pipe.text_encoder, pipe.vae.decoder)
    hooks = [module.register_forward_pre_hook(lambda module, args: calls.append(type(module))) for module in watched]
    yield pipe
    for hook in hooks:
        hook.remove()
    assert not calls


CASES = {
    # --- Sizes ---
    "height": ({"height": 40}, "`height` must be a positive multiple of 32, got 40. Try 32 or 64"),
    "width": ({"width": 0}, "`width` must be a positive multiple of 32, got 0"),
    "num_frames": ({"num_frames": 6}, "`num_frames` must be one more than a multiple of 4, got 6. Try 5 or 9"),
    "fractional frames": ({"num_frames": 5.0}, "`num_frames` must be an integer, got 5.0"),
    "no sound": ({"num_frames": 1, "frame_rate": 1000.0}, "`num_frames`=1 at `frame_rate`=1000.0 lasts less than"),
    "frame_rate": ({"frame_rate": float("nan")}, "`frame_rate` must be a positive number"),
    "no steps": ({"num_inference_steps": 0}, "`num_inference_steps` must be 1 or more, got 0"),
    "half a step": ({"num_inference_steps": 2.5}, "`num_inference_steps` must be 1 or more, got 2.5"),
    "steps twice": (
        {"num_inference_steps": 2, "sigmas": [0.9, 0.5]},
        "at most one of `num_inference_steps` and `sigmas`",
    ),
    "no sigmas": ({"sigmas": []}, "`sigmas` must fall"),
    "rising sigmas": ({"sigmas": [0.5, 0.9]}, "`sigmas` must fall"),
    "sigma above 1": ({"sigmas": [1.5, 0.9]}, "`sigmas` must fall"),
    "sigma of 0": ({"sigmas": [0.9, 0.0]}, "`sigmas` must fall"),
    "sigma nan": ({"sigmas": [0.9, float("nan")]}, "`sigmas` must fall"),
    "no clips": ({"num_videos_per_prompt": 0}, "`num_videos_per_prompt` must be 1 or more, got 0"),
    # --- Captions ---
    "no prompt": ({"prompt": None, "subjects": None}, "exactly one of `prompt` and `prompt_embeds`"),
    "two prompts": ({"prompt_embeds": EMBEDS}, "exactly one of `prompt` and `prompt_embeds`"),
    "empty prompt": ({"prompt": "  "}, "`prompt` is empty"),
    "no prompts": ({"prompt": []}, "`prompt` must be a caption or a non-empty list"),
    "an empty prompt": ({"prompt": ["<S1>", ""]}, "`prompt` is empty"),
    "no text": ({"prompt": 7}, "`prompt` must be a caption or a non-empty list of captions, got int"),
    "a number among prompts": ({"prompt": ["<S1>", 7]}, "`prompt` must hold `str` or `StructuredCaption`, got int"),
    "negative prompts": ({"negative_prompt": ["a", "b"]}, "`negative_prompt` must be a text or 1 texts"),
    "negative number": ({"negative_prompt": 3}, "`negative_prompt` must be a text or 1 texts"),
    "audio negative prompts": ({"audio_negative_prompt": []}, "`audio_negative_prompt` must be a text or 1 texts"),
    "negative prompt twice": (
        {"negative_prompt": "a", "negative_prompt_embeds": EMBEDS},
        "at most one of `negative_prompt` and `negative_prompt_embeds`",
    ),
    "prompt nan": ({"prompt": None, "prompt_embeds": NAN_EMBEDS}, "`prompt_embeds` contains NaN"),
    "negative nan": ({"negative_prompt_embeds": NAN_EMBEDS}, "`negative_prompt_embeds` contains NaN"),
    "audio nan": ({"audio_negative_prompt_embeds": NAN_EMBEDS}, "`audio_negative_prompt_embeds` contains NaN"),
    "embeds shape": ({"prompt": None, "prompt_embeds": torch.ones(5, 16)}, "`prompt_embeds` must have the shape"),
    "embeds width": ({"prompt": None, "prompt_embeds": torch.ones(1, 5, 8)}, "`prompt_embeds` must have 16 channels"),
    "embeds batch": (
        {"negative_prompt_embeds": torch.ones(2, 5, 16)},
        "`negative_prompt_embeds` must have the shape [1, sequence_length, text_dim], got [2, 5, 16]",
    ),
    "caption length": ({"max_sequence_length": 0}, "`max_sequence_length` must be 1 or more, got 0"),
    # --- Anchors ---
    "anchor of nobody": ({"prompt": "<S1> and <S2>"}, "`prompt` names <S2>, but `subjects` has 1 entries"),
    "anchors without subjects": ({"subjects": None}, "`prompt` names <S1>, but `subjects` has 0 entries"),
    "subject without anchor": ({"prompt": "a room"}, "`prompt` never names <S1>"),
    "structured caption of two": (
        {"prompt": StructuredCaption.parse('Scene: room. <S1>: man. <S2>: man. <S1> says: "a".')},
        "`prompt` names <S2>",
    ),
    "anchors in a batch": (
        {"prompt": ["<S1>", "<S1>"], "subjects": [[ADA], [ADA, ADA]], "num_videos_per_prompt": 2},
        "`prompt` never names <S2>",
    ),
    # --- People ---
    "a name": ({"subjects": "ada"}, "`subjects` must be a list of `Subject`, got str"),
    "one subject": ({"subjects": ADA}, "`subjects` must be a list of `Subject`, got Subject"),
    "names": ({"subjects": ["ada"]}, "`subjects` must hold `Subject`, got str"),
    "lists and subjects": ({"subjects": [ADA, [ADA]]}, "`subjects` must hold `Subject`, got list"),
    "people of other prompts": ({"subjects": [[ADA], [ADA]]}, "`subjects` is for 2 prompts, but there are 1"),
    "a crowd": ({"subjects": [ADA] * 5, "prompt": "<S1><S2><S3><S4><S5>"}, "`subjects` names 5 people, at most 4 fit"),
    "no file": ({"subjects": [person(1, face="gone.png", name="Ada")]}, "Face of `subjects[0]` (Ada): "),
    "no recording": ({"subjects": [Subject(), person(1, voice="gone.wav")]}, "Voice of `subjects[1]`: "),
    "tiny face": ({"subjects": [person(1, face=face(1, width=8))]}, "8x48 pixels are too few"),
    "flat face": ({"subjects": [person(1, face=Image.new("RGB", (40, 40), "red"))]}, "one flat colour"),
    "silence": ({"subjects": [person(1, voice=sound(0.0))]}, "the recording is silent"),
    "silent beginning": (
        {"subjects": [person(1, voice=AudioSamples(F.pad(voice(1).samples, (8_000, 0)), 16_000))]},
        "Voice of `subjects[0]`: the first 0.5 s, all that is used, are silent",
    ),
    "hum": ({"subjects": [person(1, voice=sound(0.5))]}, "the recording is silent"),
    "a click": ({"subjects": [person(1, voice=voice(1, seconds=0.1))]}, "0.10 s of sound, at least 0.3 s are needed"),
    "scales of nobody": ({"subjects": [Subject(face_scale=2.0)]}, "`subjects[0]` has neither face nor voice"),
    "too many views": ({"subjects": [person(1, face=[face(1)] * 9)]}, "`subjects[0]` takes 9.0 latent frames"),
    "official voices": (
        {"subjects": [ADA, ADA], "prompt": "<S1> <S2>", "compat": "official"},
        "`subjects[0]` takes 18.7 latent frames (1 views, 187 latents of speech), but a subject of this model has 8",
    ),
    "long voice latents": ({"subjects": [SubjectLatents(voice=torch.ones(90, 6))]}, "`subjects[0]` takes 9.0 latent"),
    "face latent channels": (
        {"subjects": [SubjectLatents(torch.ones(1, 3, 2, 2))]},
        "`faces` of `subjects[0]` must have 4 channels, got 3",
    ),
    "voice latent channels": (
        {"subjects": [SubjectLatents(voice=torch.ones(9, 5))]},
        "`voice` of `subjects[0]` must have 6 channels, got 5",
    ),
    "latents of other sizes": (
        {"subjects": [SubjectLatents(torch.ones(1, 4, 4, 4)), ADA], "prompt": "<S1> <S2>"},
        "`subjects` have faces of different sizes, in latents [(2, 2), (4, 4)]",
    ),
    # --- Noise and draws ---
    "latents": (
        {"latents": torch.zeros(1, 4, 2, 2, 2)},
        "`latents` must have the shape [1, 4, 2, 2, 4], got [1, 4, 2, 2, 2]",
    ),
    "audio latents": ({"audio_latents": torch.zeros(1, 3, 6)}, "`audio_latents` must have the shape [1, 12, 6]"),
    "latents nan": ({"latents": torch.full((1, 4, 2, 2, 4), float("nan"))}, "`latents` contains NaN"),
    "generators": ({"generator": [seeded()] * 2}, "`generator` has 2 entries for 1 clips"),
    "a seed": ({"generator": 7}, "`generator` must be a `torch.Generator`"),
    # --- Knobs ---
    "compat": ({"compat": "ovi"}, "`compat` must be 'native' or 'official', got 'ovi'"),
    "output_type": ({"output_type": "mp4"}, "`output_type` must be 'pil', 'np', 'pt' or 'latent', got 'mp4'"),
    "scale nan": ({"guidance_scale": float("nan")}, "`guidance_scale` must be a finite number, 0 or more, got nan"),
    "negative scale": ({"audio_guidance_scale": -1.0}, "`audio_guidance_scale` must be a finite number"),
    "text scale": ({"face_guidance_scale": "2"}, "`face_guidance_scale` must be a finite number"),
    "layer": ({"skip_guidance_layers": (3,)}, "`skip_guidance_layers` must lie in 0..2, got (3,)"),
    "one layer": ({"skip_guidance_layers": 1}, "`skip_guidance_layers` must be a list of layer numbers, got 1"),
    "callback tensors": (
        {"callback_on_step_end_tensor_inputs": ["noise"]},
        "`callback_on_step_end_tensor_inputs` must be among",
    ),
    "attention_kwargs": ({"attention_kwargs": {"gain": 2}}, "`attention_kwargs` takes only 'scale', got ['gain']"),
    # --- Knobs that would do nothing ---
    "identity scale of nobody": (
        {"subjects": [Subject()], "face_guidance_scale": 2.0},
        "`face_guidance_scale` has no effect without a face or a voice in `subjects`",
    ),
    "layers of no branch": (
        {"guidance_scale": 1.0, "audio_guidance_scale": 1.0, "skip_guidance_layers": (1,)},
        "`skip_guidance_layers` has no effect while text guidance is off",
    ),
    "negative prompt of no branch": (
        {"guidance_scale": 1.0, "audio_guidance_scale": 1.0, "audio_negative_prompt": "loud"},
        "`audio_negative_prompt` has no effect while text guidance is off",
    ),
    "official text guidance off": (
        {"guidance_scale": 1.0, "negative_prompt": "ugly", "compat": "official"},
        "`negative_prompt` has no effect while text guidance is off",
    ),
}


@pytest.mark.parametrize("options, message", CASES.values(), ids=CASES)
def test_wrong_input(idle, options, message):
    options = {"prompt": " ".join(f"<S{k + 1}>" for k in range(1)), "subjects": [ADA]} | options
    if "sigmas" not in options:
        options = {"num_inference_steps": 1} | options
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        idle(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"subjects": [ADA] * 5}, "at most 4 fit"),
        ({"subjects": ["ada"]}, "`subjects` must hold `Subject`"),
        ({"subjects": [ADA], "num_frames": 6}, "`num_frames` must be one more"),
        ({"subjects": [ADA], "compat": "ovi"}, "`compat` must be"),
        ({"subjects": [ADA], "skip_guidance_layers": (5,)}, "`skip_guidance_layers` must lie in"),
        ({"subjects": [ADA], "generator": [seeded()] * 2}, "`generator` has 2 entries for 1 lists of `subjects`"),
        ({"subjects": [ADA], "attention_kwargs": {"gain": 2}}, "`attention_kwargs` takes only 'scale'"),
    ],
)
def test_wrong_input_of_encode_identity(idle, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        idle.encode_identity(**options)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"prompt": "<S1>", "subjects": [ADA]}, "at most one of `subjects` and `identity`"),
        ({"prompt": "nobody"}, "`prompt` never names <S1>"),
        ({"prompt": "<S1>", "num_frames": 9}, "`identity` was encoded for clips of (2, 12) latent frames"),
        ({"prompt": "<S1>", "skip_guidance_layers": (1,)}, "`identity` was not encoded for the unconditional branch"),
        ({"prompt": "<S1>", "compat": "official"}, "`identity` was not encoded for the unconditional branch"),
    ],
)
def test_wrong_input_beside_known_people(pipe, options, message):
    people = pipe.encode_identity([ADA])
    with pytest.raises(ValueError, match=re.escape(message)):
        generate(pipe, **options, identity=people)


def test_known_people_of_another_model(pipe):
    people = tiny_pipeline(num_layers=2).encode_identity([ADA])
    with pytest.raises(ValueError, match="`identity` was encoded by a model of 2 layers, this one has 3"):
        generate(pipe, identity=people)


def test_known_people_of_other_prompts(pipe):
    people = pipe.encode_identity([[ADA], [ADA], [ADA]])
    with pytest.raises(ValueError, match="`identity` is for 3 prompts, but there are 2"):
        generate(pipe, ["<S1>", "<S1>"], identity=people)


@pytest.mark.parametrize("missing, is_possible", [("face", True), ("voice", False)])
def test_released_weights_take_no_new_faces(own_pipe, missing, is_possible):
    """Only the video tower has weights of its own for references; a voice needs none of them."""
    own_pipe.release_identity_weights()
    subject = person(1, **{missing: None})
    if is_possible:
        generate(own_pipe, subjects=[subject])
    else:
        with pytest.raises(
            ValueError, match="`subjects\\[0\\]` needs the video identity weights, which were released"
        ):
            generate(own_pipe, subjects=[subject])


def test_a_voice_must_fit_where_a_subject_has_its_place():
    pipe = tiny_pipeline(identity_span=1)
    with pytest.raises(ValueError, match="`subjects\\[0\\]` takes 1.5 latent frames"):
        generate(pipe, subjects=[ADA])
    generate(tiny_pipeline(identity_span=1, identity_position="fixed"), subjects=[ADA])


@pytest.mark.parametrize(
    "place, subject, message",
    [
        (
            {"face_position": 2},
            person(1, voice=None),
            "makes a clip of 3, but in this model faces begin at latent",
        ),
        ({"voice_position": 20}, person(1, face=None), "makes a clip of 22, but in this model voices begin at audio"),
    ],
)
def test_a_clip_must_end_before_references_begin(place, subject, message, caplog):
    """As published, they have fixed places."""
    pipe = tiny_pipeline(identity_position="fixed", **place)
    generate(pipe, subjects=[subject], num_frames=5)
    generate(pipe, num_frames=9)
    with pytest.raises(ValueError, match=message):
        generate(pipe, subjects=[subject], num_frames=9)
    with caplog.at_level("WARNING", logger="iap_pipelines"):
        generate(pipe, subjects=[subject], num_frames=9, compat="official")
    assert message in caplog.text


def test_a_frame_rate_that_the_model_was_not_made_for(pipe, caplog):
    with caplog.at_level("WARNING", logger="iap_pipelines"):
        generate(pipe, num_frames=5, frame_rate=12.0)
        assert not caplog.text
        generate(pipe, num_frames=5, frame_rate=25.0)
    assert "`frame_rate`=25, but this model puts sound and picture on one time axis at 12.5 frames/s" in caplog.text


@pytest.mark.parametrize(
    "latents, message",
    [
        ({"faces": torch.ones(4, 2, 2)}, "`faces` must have the shape"),
        ({"faces": torch.ones(0, 4, 2, 2)}, "`faces` must have the shape"),
        ({"voice": torch.ones(1, 2, 6)}, "`voice` must have the shape"),
        ({"voice": torch.full((2, 6), float("inf"))}, "`voice` contains NaN or infinity"),
        ({"voice": torch.ones(2, 6), "voice_scale": float("nan")}, "`voice_scale` must be a finite number"),
        ({"voice": torch.ones(2, 6), "voice_scale": -3.0}, "`voice_scale` must be a finite number"),
    ],
)
def test_latents_of_people_check_themselves(latents, message):
    with pytest.raises(ValueError, match=message):
        SubjectLatents(**latents)
