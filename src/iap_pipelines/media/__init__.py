"""Files to values and back; the only room that knows PyAV."""

from iap_pipelines.media.audio import read_audio
from iap_pipelines.media.errors import MediaError
from iap_pipelines.media.export import export_frames, export_sound, write_video
from iap_pipelines.media.generated import export_to_av
from iap_pipelines.media.image import read_image
from iap_pipelines.media.pieces import MediaInfo, frames_at, iterate_frames, probe, read_sound
from iap_pipelines.media.video import read_frame_times, read_video


__all__ = [
    "MediaError",
    "MediaInfo",
    "export_frames",
    "export_sound",
    "export_to_av",
    "frames_at",
    "iterate_frames",
    "probe",
    "read_audio",
    "read_frame_times",
    "read_image",
    "read_sound",
    "read_video",
    "write_video",
]
