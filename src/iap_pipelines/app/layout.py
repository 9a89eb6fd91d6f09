"""The fields of the page, and how what is in them becomes a form."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import gradio as gr

from iap_pipelines.app.form import GenerationForm, PersonForm
from iap_pipelines.app.limits import MAX_LINES, MAX_PEOPLE, AppLimits
from iap_pipelines.assets import DEMO_PROMPT, example_subjects
from iap_pipelines.pipelines.guidance import GuidanceSettings
from iap_pipelines.pipelines.pipeline_iap import IAPPipeline
from iap_pipelines.types import StructuredCaption


PLACES = ["left", "right", "center", "far left", "far right", "off screen"]
MAX_TEXT = 300
"""Characters of a text field; a caption has a limit in tokens, which the pipeline warns of."""
GUIDANCE = {
    "picture": {"guidance_scale": "Picture: the caption", "face_guidance_scale": "Picture: all faces"},
    "sound": {"audio_guidance_scale": "Sound: the caption", "voice_guidance_scale": "Sound: all voices"},
}
"""Label of each slider; 1 is neutral."""


@dataclass(frozen=True)
class PersonFields:
    """Fields of one person."""

    box: gr.Group
    faces: gr.File
    gallery: gr.Gallery
    voice: gr.Audio
    position: gr.Dropdown
    appearance: gr.Textbox
    face_scale: gr.Slider
    voice_scale: gr.Slider

    @classmethod
    def build(cls, number: int, is_shown: bool) -> Self:
        """Draw the fields of subject `number`, from 1, filled with an example where there is one."""
        examples, caption = example_subjects(), StructuredCaption.parse(DEMO_PROMPT)
        example = examples[number - 1] if number <= len(examples) else None
        described = caption.subjects[number - 1] if number <= len(caption.subjects) else None
        faces = [str(view) for view in example.views] if example else None
        with gr.Group(visible=is_shown) as box:
            gr.Markdown(f"### &lt;S{number}&gt;", padding=True)
            with gr.Row():
                position = gr.Dropdown(
                    PLACES, value=described and described.position, label="Where", allow_custom_value=True, scale=1
                )
                appearance = gr.Textbox(
                    described and described.appearance,
                    label="Looks like",
                    max_length=MAX_TEXT,
                    scale=3,
                    elem_id=f"looks-{number}",
                )
            with gr.Row():
                upload = gr.File(
                    faces,
                    label="Face: one or more pictures",
                    file_count="multiple",
                    file_types=["image"],
                    height=180,
                    elem_id=f"face-{number}",
                )
                gallery = gr.Gallery(
                    faces,
                    label="Face, as it is read",
                    height=180,
                    columns=3,
                    interactive=False,
                    object_fit="contain",
                    buttons=["fullscreen"],
                )
            voice = gr.Audio(
                example and str(example.voice),
                label="Voice: a few seconds of speech",
                sources=["upload", "microphone"],
                type="filepath",
                editable=False,
                buttons=["download"],
                elem_id=f"voice-{number}",
            )
            with gr.Row():
                face_scale = gr.Slider(0, 4, 1, step=0.1, label="This face")
                voice_scale = gr.Slider(0, 4, 1, step=0.1, label="This voice")
        return cls(box, upload, gallery, voice, position, appearance, face_scale, voice_scale)

    @property
    def inputs(self) -> list[gr.components.Component]:
        return [self.appearance, self.position, self.faces, self.voice, self.face_scale, self.voice_scale]


@dataclass(frozen=True)
class CaptionFields:
    """Fields of the scene and of what is said."""

    scene: gr.Textbox
    speakers: tuple[gr.Dropdown, ...]
    words: tuple[gr.Textbox, ...]
    sounds: gr.Textbox

    @classmethod
    def build(cls) -> Self:
        example = StructuredCaption.parse(DEMO_PROMPT)
        scene = gr.Textbox(example.scene, label="Scene", max_length=MAX_TEXT, elem_id="scene")
        speakers, words = [], []
        for index in range(MAX_LINES):
            line = example.lines[index] if index < len(example.lines) else None
            with gr.Row():
                anchors = [(f"<S{number}>", number) for number in range(1, MAX_PEOPLE + 1)]
                speakers.append(gr.Dropdown(anchors, value=line.subject if line else 1, label="Who", scale=1))
                words.append(
                    gr.Textbox(
                        line.text if line else "",
                        label="says",
                        max_length=MAX_TEXT,
                        scale=4,
                        elem_id=f"words-{index + 1}",
                    )
                )
        sounds = gr.Textbox(example.sounds, label="Other sounds", max_length=MAX_TEXT)
        return cls(scene, tuple(speakers), tuple(words), sounds)

    @property
    def inputs(self) -> list[gr.components.Component]:
        return [self.scene, self.sounds, *self.speakers, *self.words]


@dataclass(frozen=True)
class KnobFields:
    """Everything else that the pipeline is told, by the name of its argument, and the seed."""

    seed: gr.Number
    options: dict[str, gr.components.Component]

    @classmethod
    def build(cls, pipe: IAPPipeline, limits: AppLimits) -> Self:
        defaults, options = GuidanceSettings.of_call(pipe.config), {}
        with gr.Accordion("Guidance", open=True):
            for tower in ("picture", "sound"):
                with gr.Row():
                    for name, label in GUIDANCE[tower].items():
                        options[name] = gr.Slider(0, 10, getattr(defaults, name), step=0.1, label=label, info=name)
            for name, label in (
                ("negative_prompt", "Not like this"),
                ("audio_negative_prompt", "Not sounding like this"),
            ):
                options[name] = gr.Textbox("", label=label, info=name, max_length=MAX_TEXT)
        with gr.Accordion("Clip", open=True), gr.Row():
            steps = min(pipe.config.num_inference_steps, limits.max_steps)
            options["num_inference_steps"] = gr.Slider(
                1, limits.max_steps, steps, step=1, label="Steps", elem_id="steps", min_width=220
            )
            factor = pipe.geometry.temporal_factor
            longest = int(limits.max_clip_seconds * pipe.frame_rate - 1) // factor * factor + 1
            options["num_frames"] = gr.Slider(
                1,
                longest,
                min(pipe.config.num_frames, longest),
                step=factor,
                label="Frames",
                elem_id="frames",
                min_width=220,
            )
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=2**32 - 1)
        return cls(seed, options)

    @property
    def inputs(self) -> list[gr.components.Component]:
        return [self.seed, *self.options.values()]


@dataclass(frozen=True)
class FormFields:
    """All fields, in the order in which their values arrive."""

    num_people: gr.Radio
    people: tuple[PersonFields, ...]
    caption: CaptionFields
    knobs: KnobFields

    @classmethod
    def build(cls, pipe: IAPPipeline, limits: AppLimits) -> Self:
        """Draw the left side of the page."""
        num_people = len(example_subjects())
        radio = gr.Radio(list(range(MAX_PEOPLE + 1)), value=num_people, label="People", elem_id="people")
        people = tuple(PersonFields.build(number, number <= num_people) for number in range(1, MAX_PEOPLE + 1))
        with gr.Accordion("What happens, and who says what", open=True):
            caption = CaptionFields.build()
        return cls(radio, people, caption, KnobFields.build(pipe, limits))

    @property
    def caption_inputs(self) -> list[gr.components.Component]:
        """All that the caption depends on; a part of `inputs`, in the same order."""
        people = [field for person in self.people for field in person.inputs]
        return [self.num_people, *people, *self.caption.inputs]

    @property
    def inputs(self) -> list[gr.components.Component]:
        return [*self.caption_inputs, *self.knobs.inputs]

    def read(self, values: Sequence[Any]) -> GenerationForm:
        """Make a form of the values of `inputs`, or of `caption_inputs` alone."""
        num_people, *rest = values
        width = len(self.people[0].inputs)
        people, rest = rest[: width * MAX_PEOPLE], rest[width * MAX_PEOPLE :]
        scene, sounds, *rest = rest
        speakers, words, rest = rest[:MAX_LINES], rest[MAX_LINES : 2 * MAX_LINES], rest[2 * MAX_LINES :]
        seed, *options = rest or [0]
        return GenerationForm(
            people=tuple(_person(*people[k * width : (k + 1) * width]) for k in range(num_people)),
            scene=scene,
            lines=tuple(zip(speakers, words, strict=True)),
            sounds=sounds or "",
            seed=int(seed or 0),  # an emptied field
            options=dict(zip(self.knobs.options, options, strict=False)),
        )


def _person(
    appearance: str | None,
    position: str | None,
    faces: list[str] | None,
    voice: str | None,
    face_scale: float,
    voice_scale: float,
) -> PersonForm:
    return PersonForm(appearance or "", position or "", tuple(faces or ()), voice, face_scale, voice_scale)
