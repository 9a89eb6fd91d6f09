"""Every stage is run once on every unit, and what it adds is known to the next."""

from benchmarks.curation_stages import run_stage
from iap_pipelines.curation.discovery import find_sources
from iap_pipelines.curation.records import Clip, Technical
from iap_pipelines.curation.stage import Known
from tests.curation.toys import Brightness, ClipPerWord, ReadText, write_sources


def test_stages_run_after_one_another(tmp_path):
    write_sources(tmp_path, a="100 slow 120")
    (source,) = find_sources(tmp_path).sources
    known = Known(tmp_path / source.path, source)
    seconds = [run_stage(stage, source, known) for stage in (ReadText(), ClipPerWord(), Brightness())]
    assert len(known.all(Clip)) == len(known.all(Technical)) == 3
    assert all(0 <= spent < 0.5 for spent in seconds), "half a second of sleep is no processor time"
