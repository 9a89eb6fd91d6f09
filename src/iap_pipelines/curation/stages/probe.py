"""What is in a file: one decoding pass that believes no header."""

from collections.abc import Iterable
from dataclasses import dataclass

from iap_pipelines.curation.records import Source
from iap_pipelines.curation.stage import Known, SourceFile, Stage
from iap_pipelines.media import probe


@dataclass(kw_only=True)
class Probe(Stage):
    """Decodes everything once. Rotation, aspect of pixels, uneven times and a late sound are found here and undone
    everywhere: later stages see upright pictures, and times in seconds from the first picture.
    """

    name = "probe"
    unit = SourceFile
    adds = (Source,)

    def process(self, unit: SourceFile, known: Known) -> Iterable[Source]:
        info = probe(known.file)
        pictures, sound = info.pictures, info.sound
        columns = {}
        if pictures is not None:
            columns |= {
                "duration_seconds": pictures.duration_seconds,
                "source_width": pictures.width,
                "source_height": pictures.height,
                "rotation_degrees": pictures.rotation_degrees,
                "source_frame_rate": pictures.frame_rate,
                "has_variable_rate": pictures.is_variable,
                "source_num_frames": pictures.num_frames,
                "video_codec": pictures.codec,
            }
        if sound is not None:
            columns |= {
                "audio_codec": sound.codec,
                "source_sampling_rate": sound.sampling_rate,
                "source_num_channels": sound.num_channels,
                "audio_duration_seconds": sound.duration_seconds,
                "audio_start_seconds": sound.start_seconds,
            }
        yield Source(source_id=unit.source_id, path=unit.path, num_bytes=unit.num_bytes, **columns)
