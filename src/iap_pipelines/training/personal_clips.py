"""A handful of clips of one person, made ready to learn an adapter from.

F frames, H height, W width.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from iap_pipelines.data.clip_folder import ClipEntry, read_clips, read_identities
from iap_pipelines.data.encoding import LatentEncoder, trim_sound
from iap_pipelines.data.latent_store import LatentShardWriter
from iap_pipelines.media import MediaError, read_audio, read_image, read_video
from iap_pipelines.pipelines.pipeline_iap import IAPPipeline
from iap_pipelines.types import StructuredCaption


logger = logging.getLogger(__name__)

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_SOUNDS = (".wav", ".flac", ".mp3", ".m4a", ".ogg")
_HELD_OUT = 6
"""One clip of so many is kept for validation."""

LAYOUT = (
    "`clips` must hold either clips.jsonl and identities.jsonl (as `iap synthesize` writes them), or *.mp4 files, "
    "each with its structured caption in a .txt of the same name, and pictures and recordings of the person from "
    "other clips in faces/ and voices/"
)


@dataclass(frozen=True)
class FoundClips:
    """
    What a folder holds of one person.

    Args:
        clips: video files and their captions.
        faces: pictures.
        voices: recordings.
        cut_from: per clip, as in [`ClipEntry`]; empty if all are whole.
        face_clips: as in [`IdentityEntry`].
        voice_clips: as in [`IdentityEntry`].
    """

    clips: tuple[tuple[Path, str], ...]
    faces: tuple[Path, ...]
    voices: tuple[Path, ...]
    cut_from: tuple[str | None, ...] = ()
    face_clips: tuple[str | None, ...] = ()
    voice_clips: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class PersonalClips:
    """
    What was made ready.

    Args:
        num_clips: to learn from.
        num_held_out: for validation; none of fewer than four clips.
        num_faces: pictures of the face.
        max_voice_latents: most that the base model takes of a recording.
        caption_length: tokens of a caption of the base model.
        voice_guidance_scale: of the base model, unless a call says otherwise.
        rejected: files that could not be used, and why.
    """

    num_clips: int
    num_held_out: int
    num_faces: int
    max_voice_latents: int
    caption_length: int
    voice_guidance_scale: float
    rejected: tuple[tuple[Path, str], ...]


def find_clips(folder: Path, identity: str | None = None) -> FoundClips:
    """
    Look what a folder holds of one person.

    Args:
        folder: of either layout; see `LAYOUT`.
        identity: whom of a folder with several people; clips with others are left out.

    Raises:
        ValueError: for a folder of another layout, or one where the person is not told, not there or never alone.
    """
    folder = Path(folder)
    if (folder / "clips.jsonl").exists():
        return _find_entries(folder, identity)
    if identity is not None:
        raise ValueError(f"`identity` {identity!r} is of no use: {folder} has no identities.jsonl and so one person.")
    clips = sorted(folder.glob("*.mp4"))
    captions = [clip.with_suffix(".txt") for clip in clips]
    faces, voices = _files(folder / "faces", _PICTURES), _files(folder / "voices", _SOUNDS)
    missing = [str(caption) for caption in captions if not caption.exists()]
    if missing or not (clips and faces and voices):
        raise ValueError(
            f"{LAYOUT}. {folder} has {len(clips)} *.mp4, {len(missing)} of them without a caption "
            f"({', '.join(missing[:3])}), {len(faces)} faces and {len(voices)} voices."
        )
    return FoundClips(
        tuple((clip, text.read_text("utf-8").strip()) for clip, text in zip(clips, captions, strict=True)),
        faces,
        voices,
    )


def prepare_personal_clips(found: FoundClips, base: str, name: str, output: Path) -> PersonalClips:
    """
    Encode clips and references with the codecs of the base model, and write them down as a folder to train on.

    Clips are brought to the frame rate, the size and at most the length that the base model was trained with.

    Args:
        found: clips and references.
        base: `from_pretrained` folder or Hub name.
        name: of the person.
        output: for `data` and `latents`.

    Raises:
        ValueError: if nothing can be used. Single files that cannot are listed in `data/rejected.jsonl`.
    """
    unused = dict.fromkeys(("transformer", "text_encoder", "tokenizer", "vocoder"))
    pipe = IAPPipeline.from_pretrained(base, dtype=torch.float32, **unused)
    preparation = _Preparation(pipe, name)
    entries = list(preparation.encode_clips(found))
    faces, voices = preparation.encode_faces(found.faces), preparation.encode_voices(found.voices)
    if not entries or not preparation.has_references:
        reasons = "; ".join(f"{path}: {reason}" for path, reason in preparation.rejected[:3])
        raise ValueError(f"`clips` holds nothing to learn from: {len(entries)} clips are usable. {reasons}")
    LatentShardWriter(output / "latents", {"base": base}).write("all", preparation.tensors)
    num_held_out = max(1, len(entries) // _HELD_OUT) if len(entries) > 3 else 0
    splits = ["train"] * (len(entries) - num_held_out) + ["validation"] * num_held_out
    data = output / "data"
    data.mkdir(parents=True, exist_ok=True)
    _write_lines(data / "clips.jsonl", [_as_line(*pair) for pair in zip(entries, splits, strict=True)])
    references = {
        "faces": [str(found.faces[index].resolve()) for index in faces],
        "voices": [str(found.voices[index].resolve()) for index in voices],
        "face_clips": [found.face_clips[index] for index in faces if found.face_clips],
        "voice_clips": [found.voice_clips[index] for index in voices if found.voice_clips],
    }
    _write_lines(data / "identities.jsonl", [{"identity": name, "split": "train"} | references])
    _write_lines(
        data / "rejected.jsonl", [{"file": str(path), "reason": reason} for path, reason in preparation.rejected]
    )
    return PersonalClips(
        num_clips=len(entries) - num_held_out,
        num_held_out=num_held_out,
        num_faces=len(faces),
        max_voice_latents=pipe.geometry.voice_latents(round(pipe.config.max_voice_seconds * pipe.sampling_rate)),
        caption_length=pipe.config.max_sequence_length,
        voice_guidance_scale=pipe.config.voice_guidance_scale,
        rejected=tuple(preparation.rejected),
    )


class _Preparation:
    """Latents of one person, as they come together."""

    def __init__(self, pipe: IAPPipeline, name: str) -> None:
        self.pipe, self.name = pipe, name
        self.encoder = LatentEncoder(pipe.vae, pipe.audio_vae)
        self.tensors: dict[str, Tensor] = {}
        self.rejected: list[tuple[Path, str]] = []

    @property
    def has_references(self) -> bool:
        return {f"{self.name}/faces", f"{self.name}/voice_0"} <= self.tensors.keys()

    def encode_clips(self, found: FoundClips) -> Iterator[ClipEntry]:
        cut_from = found.cut_from or (None,) * len(found.clips)
        for index, ((path, caption), origin) in enumerate(zip(found.clips, cut_from, strict=True)):
            try:
                yield replace(self._encode_clip(f"clip-{index:03d}", path, caption), cut_from=origin)
            except (MediaError, ValueError) as error:
                self._reject(path, error)

    def encode_faces(self, paths: Sequence[Path]) -> list[int]:
        """Returns the indices of those that could be used."""
        images = {}
        for index, path in enumerate(paths):
            try:
                images[index] = read_image(path)
            except MediaError as error:
                self._reject(path, error)
        if images:
            with torch.no_grad():
                self.tensors[f"{self.name}/faces"] = self.pipe.encode_faces(list(images.values())).cpu()
        return list(images)

    def encode_voices(self, paths: Sequence[Path]) -> list[int]:
        """Returns the indices of those that could be used."""
        voices = {}
        for index, path in enumerate(paths):
            try:
                voices[index] = self.encoder.encode_audio(read_audio(path))
            except MediaError as error:
                self._reject(path, error)
        self.tensors |= {f"{self.name}/voice_{number}": voice for number, voice in enumerate(voices.values())}
        return list(voices)

    def _encode_clip(self, clip_id: str, path: Path, caption: str) -> ClipEntry:
        if len(StructuredCaption.parse(caption).subjects) != 1:
            raise ValueError(f"its caption must describe one person as <S1>: {caption!r}")
        config, frame_rate = self.pipe.config, self.pipe.frame_rate
        video, audio = read_video(path, frame_rate=frame_rate)
        if audio is None:
            raise ValueError("it has no sound")
        step = self.pipe.geometry.temporal_factor
        num_frames = min(config.num_frames, (video.num_frames - 1) // step * step + 1)
        if num_frames <= step:
            raise ValueError(
                f"it has {video.num_frames} frames at {frame_rate:g} per second, at least {step + 1} are needed"
            )
        frames = fit_frames(video.frames[:num_frames], config.height, config.width)
        entry = ClipEntry(
            clip_id, path.resolve(), "", config.height, config.width, num_frames, frame_rate, (self.name,), caption
        )
        self.tensors[f"{clip_id}/video"] = self.encoder.encode_video(frames)
        self.tensors[f"{clip_id}/audio"] = self.encoder.encode_audio(trim_sound(audio, entry))
        return entry

    def _reject(self, path: Path, error: Exception) -> None:
        logger.warning("left out %s: %s", path, error)
        self.rejected.append((path, str(error)))


def fit_frames(frames: Tensor, height: int, width: int) -> Tensor:
    """Scale uint8 `[F, H, W, 3]` until `height` and `width` are covered, and crop the centre."""
    scale = max(height / frames.shape[1], width / frames.shape[2])
    size = (max(height, round(frames.shape[1] * scale)), max(width, round(frames.shape[2] * scale)))
    if size != tuple(frames.shape[1:3]):
        pixels = frames.permute(0, 3, 1, 2).float()
        pixels = F.interpolate(pixels, size, mode="bicubic", antialias=True, align_corners=False)
        frames = pixels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return frames[:, top : top + height, left : left + width].contiguous()


def _find_entries(folder: Path, identity: str | None) -> FoundClips:
    clips = [clip for clip in read_clips(folder) if len(clip.identities) == 1 and clip.num_frames > 1]
    people = sorted({clip.identities[0] for clip in clips})
    if identity is None and len(people) != 1:
        some = ", ".join(people[:3])
        raise ValueError(
            f"`identity` must say whose clips to take: {folder} has clips of {len(people)} people alone ({some}, ...)."
        )
    identity = identity or people[0]
    if identity not in people:
        raise ValueError(f"`identity` {identity!r} has no clips alone in {folder}; {', '.join(people[:3])}, ... do.")
    person = read_identities(folder)[identity]
    chosen = [clip for clip in clips if clip.identities == (identity,)]
    return FoundClips(
        tuple((clip.path, clip.caption) for clip in chosen),
        person.faces,
        person.voices,
        tuple(clip.cut_from for clip in chosen),
        person.face_clips,
        person.voice_clips,
    )


def _files(folder: Path, suffixes: tuple[str, ...]) -> tuple[Path, ...]:
    return tuple(sorted(path for path in folder.glob("*") if path.suffix.lower() in suffixes))


def _as_line(clip: ClipEntry, split: str) -> dict[str, object]:
    return {
        "clip_id": clip.clip_id,
        "file": str(clip.path),
        "split": split,
        "height": clip.height,
        "width": clip.width,
        "num_frames": clip.num_frames,
        "frame_rate": clip.frame_rate,
        "subjects": [{"identity": clip.identities[0]}],
        "caption": clip.caption,
        "cut_from": clip.cut_from,
    }


def _write_lines(path: Path, lines: Sequence[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
