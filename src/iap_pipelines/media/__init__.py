"""Files to values and back; the only room that knows PyAV."""

from .audio import read_audio
from .errors import MediaError
from .export import export_to_av
from .image import read_image
from .video import read_frame_times, read_video


write_video = export_to_av

__all__ = ["MediaError", "export_to_av", "read_audio", "read_frame_times", "read_image", "read_video", "write_video"]
