"""What a stage may ask for, how keys follow settings, and what the ledger keeps."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from iap_pipelines.curation.ledger import Entry, Ledger, as_stored
from iap_pipelines.curation.records import Record, Speaker, column
from iap_pipelines.curation.stage import Known, SourceFile, Stage, chain


@dataclass(frozen=True, kw_only=True)
class Length(Record):
    table: ClassVar[str] = "lengths"
    source_id: str = column("its source")
    characters: int = column("of the path")


@dataclass(kw_only=True)
class MeasureLength(Stage):
    name = "length"
    unit = SourceFile
    adds = (Length,)
    factor: int = 1

    @property
    def models(self):
        return {"ruler": getattr(self, "model", "wood")}

    def process(self, unit, known):
        yield Length(source_id=unit.source_id, characters=self.factor * len(unit.path))


@dataclass(kw_only=True)
class Hear(Stage):
    name = "hear"
    unit = SourceFile
    reads = (Length,)
    adds = (Speaker,)

    def process(self, unit, known):
        length = known.one(Length).characters
        yield Speaker(
            speaker_id="s", source_id=unit.source_id, seconds=float(length), purity=1.0, embedding=(0.1, 0.2)
        )


@pytest.fixture
def source():
    return SourceFile(source_id="abc", path="a.mp4", num_bytes=3)


def test_a_stage_runs_alone(tmp_path, source):
    known = Known(tmp_path / "a.mp4", source, {Length: [Length(source_id="abc", characters=7)]})
    (speaker,) = Hear().process(source, known)
    assert speaker.seconds == 7


def test_a_stage_sees_only_what_it_declares(tmp_path, source):
    known = Known(tmp_path / "a.mp4", source, {Length: [], Speaker: []}).limited_to([Speaker])
    with pytest.raises(KeyError, match="has to name it in `reads`"):
        known.all(Length)


def test_one_record_is_one(tmp_path, source):
    lengths = [Length(source_id="abc", characters=count) for count in (1, 2)]
    known = Known(tmp_path / "a.mp4", source, {Length: lengths})
    assert known.one(Length, characters=2) == lengths[1]
    with pytest.raises(LookupError, match="there are 2"):
        known.one(Length)


def test_a_stage_cannot_read_what_nobody_adds():
    with pytest.raises(ValueError, match=r"'hear' reads \['Length'\]"):
        chain([Hear()])


def test_keys_follow_settings_models_and_what_is_read():
    def keys(**settings):
        return [step.key for step in chain([MeasureLength(**settings), Hear()])]

    assert keys() == keys()
    changed = keys(factor=2)
    assert changed[0] != keys()[0] and changed[1] != keys()[1]
    other_model = MeasureLength()
    other_model.model = "tape"
    assert chain([other_model])[0].key != chain([MeasureLength()])[0].key


def test_entries_come_back(tmp_path, source):
    ledger = Ledger(tmp_path / "ledger")
    step = chain([MeasureLength(), Hear()])[1]
    made = Speaker(speaker_id="s", source_id="abc", seconds=1 / 3, purity=0.1, embedding=(0.1, 1 / 3))
    entries = [as_stored(step.stage, Entry("u1", (made,), seconds=0.5)), Entry("u2", (), "MediaError", "broken")]
    ledger.write(step, "abc", entries)
    assert ledger.read(step, "abc") == {entry.unit_id: entry for entry in entries}
    assert ledger.read(step, "other") == {}
    assert (ledger.folder / step.key / "stage.json").is_file()


def test_failures_can_be_forgotten(tmp_path):
    ledger = Ledger(tmp_path)
    (step,) = chain([MeasureLength()])
    ledger.write(step, "abc", [Entry("u1"), Entry("u2", error="MediaError")])
    assert ledger.forget_failures(step, "abc") == 1
    assert set(ledger.read(step, "abc")) == {"u1"}


def test_a_damaged_or_partial_file_is_made_again(tmp_path, caplog):
    ledger = Ledger(tmp_path)
    (step,) = chain([MeasureLength()])
    ledger.write(step, "abc", [Entry("u1")])
    path = tmp_path / step.key / "abc.parquet"
    path.write_bytes(path.read_bytes()[:20])
    (path.parent / ".partial-abc-1").write_bytes(b"half")
    assert ledger.read(step, "abc") == {}
    assert "made again" in caplog.text
    ledger.remove_partial_files()
    assert sorted(file.name for file in path.parent.iterdir()) == ["abc.parquet", "stage.json"]


def test_shards_of_equal_entries_are_equal_bytes(tmp_path):
    (step,) = chain([MeasureLength()])
    entries = [Entry(f"u{number}", (Length(source_id="abc", characters=number),)) for number in range(5)]
    for name, order in (("a", entries), ("b", entries[::-1])):
        Ledger(tmp_path / name).write(step, "abc", order)
    shards = [(tmp_path / name / step.key / "abc.parquet").read_bytes() for name in "ab"]
    assert shards[0] == shards[1]
