"""Every mouth of a clip beside its sound: how it moves, and how well that fits at every moment and delay."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from iap_pipelines.curation.face_clips import FaceClipRecorder
from iap_pipelines.curation.records import Clip, Lips, Track
from iap_pipelines.curation.stage import Known, Stage
from iap_pipelines.curation.tracking import FaceTrack
from iap_pipelines.media import iterate_frames, read_sound
from iap_pipelines.perception.backends import load_face_landmarker, load_lip_sync_model
from iap_pipelines.perception.config import (
    DlibLandmarkSettings,
    FaceLandmarkerSettings,
    LinearLipSyncSettings,
    LipSyncSettings,
)
from iap_pipelines.perception.interfaces import FaceClip
from iap_pipelines.perception.mouth import measure_mouth


_MARGIN_SECONDS = 0.7
"""Sound beyond both ends of a clip, so that delays can be tried there."""
_MAX_PICTURES_PER_SECOND = 30.0


@dataclass(kw_only=True)
class WatchLips(Stage):
    """Cuts each face out steadily, locates its points, and compares its mouth with the sound of the clip.

    Nothing is decided: who speaks is worked out from these numbers by the next stage, without any model.
    """

    name = "lips"
    version = 2
    reads = (Track,)
    adds = (Lips,)

    landmarker: FaceLandmarkerSettings = field(default_factory=DlibLandmarkSettings)
    """Name, or settings of the model that locates the points of a face."""
    lip_sync: LipSyncSettings = field(default_factory=LinearLipSyncSettings)
    """Name, or settings of the model that compares lips and sound."""

    def setup(self) -> None:
        self._landmarker = load_face_landmarker(self.landmarker)
        self._lip_sync = load_lip_sync_model(self.lip_sync)

    @property
    def models(self) -> dict[str, str]:
        used = {"landmarker": self._landmarker, "lip_sync": self._lip_sync}
        return {role: f"{model.name} {model.revision}" for role, model in used.items()}

    def process(self, unit: Clip, known: Known) -> Iterable[Lips]:
        tracks = known.all(Track, clip_id=unit.clip_id)
        if not tracks:
            return
        sound_start = unit.start_seconds - _MARGIN_SECONDS
        sound = read_sound(known.file, start_seconds=sound_start, max_seconds=unit.clip_seconds + 2 * _MARGIN_SECONDS)
        if sound is None:
            return
        for track, face in zip(tracks, self._watch(unit, known, tracks), strict=True):
            if face is None:
                continue
            mouth = measure_mouth(face)
            scores = self._lip_sync.compare(face, sound, sound_start)
            yield Lips(
                track_id=track.track_id,
                clip_id=unit.clip_id,
                mouth_times=tuple(mouth.times.tolist()),
                mouth_opening=tuple(mouth.opening.tolist()),
                mouth_motion=tuple(mouth.motion.tolist()),
                step_times=tuple(scores.times.tolist()),
                delays=tuple(scores.delays.tolist()),
                fit=tuple(scores.scores.ravel().tolist()),
            )

    def _watch(self, clip: Clip, known: Known, tracks: Iterable[Track]) -> list[FaceClip | None]:
        recorders = [FaceClipRecorder(face_track(track), self._landmarker) for track in tracks]
        for time, picture in iterate_frames(
            known.file,
            start_seconds=clip.start_seconds,
            end_seconds=clip.end_seconds,
            max_rate=_MAX_PICTURES_PER_SECOND,
            exact=False,
        ):
            for recorder in recorders:
                recorder.add(time, picture)
        return [recorder.finish() for recorder in recorders]


def face_track(track: Track) -> FaceTrack:
    """A track as it was found."""
    return FaceTrack(
        times=np.array(track.times, np.float64),
        boxes=np.array(track.boxes, np.float32),
        points=np.array(track.points, np.float32).reshape(-1, 5, 2),
        scores=np.array(track.scores, np.float32),
    )
