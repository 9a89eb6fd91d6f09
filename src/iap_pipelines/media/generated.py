"""What a model made, to a file that says so."""

import os
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from iap_pipelines.media.export import temporary_name, write_video
from iap_pipelines.provenance import Provenance, SigningKey, sign_clip


_UNKNOWN_MODEL = Provenance()


def export_to_av(
    video: Tensor | np.ndarray | list[Image.Image],
    audio: Tensor | np.ndarray | None,
    path: str | os.PathLike[str],
    *,
    frame_rate: float,
    sampling_rate: int | None = None,
    provenance: Provenance | None = _UNKNOWN_MODEL,
    signing_key: SigningKey | None = None,
) -> Path:
    """Write one generated clip as mp4, with a signed manifest that says that a model made it, and which.

    What no model made is written with `write_video`.

    Args:
        video: uint8 ``[F, H, W, 3]`` in [0, 255], or floating point in [0, 1], or a list of PIL images. H and W even.
        audio: floating point ``[C, N]`` or ``[N]`` in [-1, 1], one or two channels. ``None``: a silent film.
        path: where to write; ends in ``.mp4``. An existing file is replaced.
        frame_rate: frames per second.
        sampling_rate: of the sound, in hertz. ``None`` only without sound.
        provenance: what the manifest says: ``output.provenance[0]`` of the pipeline. If not given, the manifest says
            that a model made it but not which, and a warning says so. ``None``: no manifest.
        signing_key: whom to sign as. ``None``: the key that the environment names, else a development key, see
            `SigningKey.configured`.

    Returns:
        The path that was written. Pictures and sound have the bytes that `write_video` gives them; the manifest is
        another one each time (`sign_clip`).

    Raises:
        ValueError: for another kind, shape or range of values.
        MediaError: (a ValueError) when the file cannot be written; names the file and the reason.
        ProvenanceError: (a ValueError) when the key cannot sign; no file is written then.
    """
    with temporary_name(Path(path)) as temporary:
        write_video(video, audio, temporary, frame_rate=frame_rate, sampling_rate=sampling_rate)
        if provenance is not None:
            sign_clip(temporary, provenance, signing_key)
    return Path(path)
