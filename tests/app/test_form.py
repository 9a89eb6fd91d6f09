from dataclasses import replace

import pytest

from iap_pipelines.app.form import GenerationForm, PersonForm
from iap_pipelines.types import StructuredCaption
from tests.app.people import two_people


def test_the_caption_is_structured(tmp_path):
    text = two_people(tmp_path).caption().render()
    assert text == (
        "Scene: room. <S1>: left, woman. <S2>: man with 'quotes'. "
        '<S1> says: "red". <S2> says: "it is “blue“". Sounds: quiet.'
    )
    assert StructuredCaption.parse(text) == two_people(tmp_path).caption()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"people": (PersonForm(""),)}, "<S1>"),
        ({"scene": ""}, "scene"),
        ({"lines": ((2, "hello"),)}, "<S2>"),
        ({"people": (PersonForm("woman", "somewhere"),)}, "position"),
    ],
)
def test_what_makes_no_caption_is_said(change, reason):
    form = GenerationForm(**({"people": (PersonForm("woman"),), "scene": "room"} | change))
    with pytest.raises(ValueError, match=reason):
        form.caption()


def test_only_changed_knobs_are_said(tmp_path):
    said = two_people(tmp_path, negative_prompt="", output_type="np").arguments()
    assert said == {"num_inference_steps": 2, "num_frames": 5, "face_guidance_scale": 1.0}
    assert two_people(tmp_path, output_type="pt").arguments() == said | {"output_type": "pt"}


def test_files_of_one_name_are_told_apart(tmp_path):
    names = two_people(tmp_path).file_names()
    assert sorted(names.values()) == ["S1_2_audio.wav", "S2_3_audio.wav", "front.png", "side.png"]


def test_a_file_of_two_people_has_one_name(tmp_path):
    form = two_people(tmp_path)
    ada, ben = form.people
    same = replace(form, people=(ada, replace(ben, voice=ada.voice)))
    assert same.file_names()[ada.voice] == "audio.wav"
    assert same.code("load").count("voice='audio.wav'") == 2


def test_messages_name_files_without_their_folders(tmp_path):
    form = two_people(tmp_path)
    path = form.people[0].faces[0]
    assert form.hide_folders(f"'{path}': no picture.") == "'front.png': no picture."
