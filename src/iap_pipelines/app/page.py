"""The page: fields on the left, the clip and all that is known about it on the right."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from iap_pipelines.app.form import GenerationForm
from iap_pipelines.app.generation import Clip, generate_clip
from iap_pipelines.app.layout import FormFields
from iap_pipelines.app.limits import MAX_PEOPLE, AppLimits
from iap_pipelines.app.model import AppModel
from iap_pipelines.app.scores import ClipScorer, render_scores
from iap_pipelines.assets import example_subjects
from iap_pipelines.media import MediaError
from iap_pipelines.provenance import SigningKey, read_provenance


INTRODUCTION = (
    "# iap-pipelines\n\n"
    "Give it a face and a voice per person and a caption; it makes one clip in which they look like themselves, sound "
    "like themselves, and each says their own lines. **Use faces and voices of people who agreed to it.** "
    "Every clip says, signed, that a model made it. The drawn people below exist nowhere else."
)
_DELETE = (600, 3600)
"""Seconds between looks at uploads and clips, and the age at which they go."""
_THUMBNAIL = (360, 360)
"""Most pixels of what the gallery shows, twice its height."""


def build_page(
    model: AppModel,
    *,
    limits: AppLimits | None = None,
    signing_key: SigningKey | None = None,
    scorer: ClipScorer | None = None,
) -> gr.Blocks:
    """
    Draw the page.

    Args:
        model: what makes the clips, one at a time.
        limits: what a visitor may ask for.
        signing_key: whom clips are signed as; see `export_to_av`.
        scorer: compares clips with their references; without one, no scores are shown.
    """
    limits = limits or AppLimits()
    with gr.Blocks(title="iap-pipelines", analytics_enabled=False, delete_cache=_DELETE) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column(scale=3):
                fields = FormFields.build(model.pipe, limits)
            with gr.Column(scale=2):
                caption = gr.Textbox(
                    label="Caption, as the model reads it", interactive=False, lines=3, elem_id="caption"
                )
                start = gr.Button("Generate", variant="primary", elem_id="generate")
                status = gr.Textbox(label="Progress", interactive=False, lines=2, elem_id="status")
                glimpse = gr.Image(
                    label="First frame, as expected so far",
                    interactive=False,
                    height=200,
                    buttons=["fullscreen"],
                    elem_id="glimpse",
                )
                video = gr.Video(label="Clip", interactive=False, elem_id="clip", buttons=["download"])
                scores = gr.Markdown(visible=scorer is not None, elem_id="scores")
                provenance = gr.Textbox(
                    label="Provenance, read back from the file", interactive=False, lines=6, elem_id="provenance"
                )
                code = gr.Code(label="The same in Python", language="python", interactive=False, elem_id="code")
                files = gr.File(
                    label="The files that the code reads",
                    interactive=False,
                    file_count="multiple",
                    elem_id="code-files",
                )

        def make_clip(*values: Any) -> Iterator[dict[gr.components.Component, Any]]:
            form = fields.read(values)
            with tempfile.TemporaryDirectory() as folder:
                yield {
                    status: "Reading the references",
                    video: None,
                    glimpse: None,
                    scores: "",
                    provenance: "",
                    code: "",
                    files: None,
                }
                path = Path(folder, "clip.mp4")
                # Closed before the folder goes: whoever leaves ends the generation.
                messages = generate_clip(model.pipe, form, path, limits=limits, signing_key=signing_key)
                with closing(messages):
                    try:
                        for message in messages:
                            if not isinstance(message, Clip):
                                step = {status: f"Step {message.step} of {message.num_steps}"}
                                yield step if message.picture is None else step | {glimpse: message.picture}
                    except ValueError as error:
                        yield {status: f"Error: {form.hide_folders(str(error))}"}
                        return
                yield {
                    status: "Done",
                    video: str(path),
                    scores: _scores(scorer, path, form),
                    provenance: read_provenance(path).render(),
                    code: form.code(model.load_code, model.import_code),
                    files: _named_copies(form, Path(folder)),
                }

        start.click(
            make_clip,
            fields.inputs,
            [status, glimpse, video, scores, provenance, code, files],
            api_visibility="private",
            show_progress="hidden",
        )
        _connect(fields, caption, status, page, limits)
    return page


def _connect(fields: FormFields, caption: gr.Textbox, status: gr.Textbox, page: gr.Blocks, limits: AppLimits) -> None:
    """What reacts while the form is filled in."""
    boxes = [person.box for person in fields.people]
    fields.num_people.change(
        lambda count: [gr.Group(visible=number <= count) for number in range(1, MAX_PEOPLE + 1)],
        fields.num_people,
        boxes,
        queue=False,
        api_visibility="private",
        show_progress="hidden",
    )

    def render(*values: Any) -> str:
        try:
            return fields.read(values).caption().render()
        except ValueError as error:
            return f"Not complete: {error}"

    texts = [field for person in fields.people for field in (person.position, person.appearance)]
    triggers = [field.change for field in (fields.num_people, *texts, *fields.caption.inputs)]
    gr.on(
        [page.load, *triggers],
        render,
        fields.caption_inputs,
        caption,
        queue=False,
        api_visibility="private",
        show_progress="hidden",
    )
    for person in fields.people:
        person.faces.change(
            lambda paths: _show_faces(paths, limits),
            person.faces,
            [person.gallery, status],
            queue=False,
            api_visibility="private",
            show_progress="hidden",
        )
        person.voice.change(
            lambda path: _check_voice(path, limits),
            person.voice,
            status,
            queue=False,
            api_visibility="private",
            show_progress="hidden",
        )


def _show_faces(paths: list[str] | None, limits: AppLimits) -> tuple[list[Any], str]:
    """Pictures as the pipeline reads them, small, and what is wrong with them, told as soon as they are uploaded."""
    pictures = []
    try:
        for picture in limits.read_pictures(paths or ()):
            picture.thumbnail(_THUMBNAIL)
            pictures.append(picture)
    except ValueError as error:
        return [], _tell(error)
    return pictures, ""


def _check_voice(path: str | None, limits: AppLimits) -> str:
    """What is wrong with a recording, or nothing, as soon as it is uploaded or spoken."""
    try:
        if path is not None:
            limits.check_voice(path)
    except MediaError as error:
        return _tell(error)
    return ""


def _tell(error: ValueError) -> str:
    return f"Error: {Path(error.path).name}: {error.reason}." if isinstance(error, MediaError) else f"Error: {error}"


def _scores(scorer: ClipScorer | None, clip: Path, form: GenerationForm) -> str:
    scores = scorer and scorer.score(clip, form)
    return render_scores(scores) if scores else ""


def _named_copies(form: GenerationForm, folder: Path) -> list[str]:
    """The files of a form under the names that the code knows them by."""
    folder = folder / "references"
    folder.mkdir()
    return [str(shutil.copyfile(path, folder / name)) for path, name in form.file_names().items()]


def launch(
    page: gr.Blocks,
    *,
    limits: AppLimits | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    is_blocking: bool = True,
) -> str:
    """
    Serve a page.

    Args:
        page: what `build_page` drew.
        limits: as given to it.
        host: address to listen on; this machine alone by default.
        port: a free one from 7860 if `None`.
        is_blocking: wait until it is interrupted.

    Returns:
        Its address.
    """
    limits = limits or AppLimits()
    page.queue(max_size=limits.max_waiting, default_concurrency_limit=1, api_open=False)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        max_file_size=f"{limits.max_upload_megabytes}mb",
        allowed_paths=sorted({str(Path(view).parent) for subject in example_subjects() for view in subject.views}),
        # Fonts of the machine: the default theme asks a server on the web for them.
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        footer_links=[],
        ssr_mode=False,
        prevent_thread_lock=not is_blocking,
    )
    return address
