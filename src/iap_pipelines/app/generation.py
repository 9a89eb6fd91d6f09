"""One clip, with glimpses of it while it is made."""

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from iap_pipelines.app.form import GenerationForm
from iap_pipelines.app.limits import AppLimits
from iap_pipelines.media import export_to_av
from iap_pipelines.pipelines.pipeline_iap import IAPPipeline
from iap_pipelines.provenance import SigningKey


NUM_GLIMPSES = 8
"""At most that many pictures are shown on the way."""


class Glimpse(NamedTuple):
    """Where a generation is."""

    step: int
    """finished, from 1"""
    num_steps: int
    picture: np.ndarray | None
    """uint8 ``[H, W, 3]``: what the model now expects of the first frame; ``None`` between glimpses"""


class Clip(NamedTuple):
    """A finished clip."""

    path: Path


def generate_clip(
    pipe: IAPPipeline,
    form: GenerationForm,
    path: Path,
    *,
    limits: AppLimits,
    signing_key: SigningKey | None = None,
) -> Iterator[Glimpse | Clip]:
    """
    Make a clip, step by step. Closing the iterator ends the generation after its current step.

    Args:
        pipe: what to generate with; in use until the iterator ends.
        form: what was asked for.
        path: mp4 file to write.
        limits: what may be asked for.
        signing_key: whom to sign as; see `export_to_av`.

    Raises:
        ValueError: for what the limits, the pipeline or a file do not allow.
    """
    limits.check_length(form.options.get("num_frames") or pipe.config.num_frames, pipe.frame_rate)
    limits.check_steps(form.options.get("num_inference_steps") or pipe.config.num_inference_steps)
    # The page has told what is wrong with an upload, but that keeps nobody from going on.
    for person in form.people:
        for _ in limits.read_pictures(person.faces):
            pass
        if person.voice is not None:
            limits.check_voice(person.voice)
    caption, subjects = form.caption(), form.subjects()
    is_abandoned = threading.Event()
    messages: queue.SimpleQueue[Glimpse | Clip | Exception] = queue.SimpleQueue()

    def report(pipe: IAPPipeline, step: int, timestep: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        messages.put(Glimpse(step + 1, pipe.num_timesteps, _picture(pipe, step)))
        if is_abandoned.is_set():
            pipe._interrupt = True
        return {}

    def run() -> None:
        try:
            output = pipe(
                caption,
                subjects,
                generator=torch.Generator().manual_seed(form.seed),
                callback_on_step_end=report,
                **form.arguments(),
            )
            if not is_abandoned.is_set():
                export_to_av(
                    output.frames[0],
                    output.audio[0],
                    path,
                    frame_rate=pipe.frame_rate,
                    sampling_rate=pipe.sampling_rate,
                    provenance=output.provenance[0],
                    signing_key=signing_key,
                )
            messages.put(Clip(path))
        except Exception as error:  # handed over to whoever waits for the clip
            messages.put(error)

    worker = threading.Thread(target=run, name="generation", daemon=True)
    worker.start()
    try:
        message: Any = None
        while not isinstance(message, Clip):
            message = messages.get()
            if isinstance(message, Exception):
                raise message
            yield message
    finally:
        is_abandoned.set()
        worker.join()


@torch.no_grad()
def _picture(pipe: IAPPipeline, step: int) -> np.ndarray | None:
    """The first frame of the clip that the model now expects; one latent frame is cheap to decode."""
    every = -(-pipe.num_timesteps // NUM_GLIMPSES)
    if (step + 1) % every:
        return None
    # The scheduler keeps the model's outputs as predictions of the clean latents.
    latents = pipe.scheduler.model_outputs[-1][:1, :, :1]
    pixels = pipe.video_processor.postprocess_video(pipe.decode_latents(latents), output_type="np")
    return (pixels[0][0] * 255).round().astype(np.uint8)
