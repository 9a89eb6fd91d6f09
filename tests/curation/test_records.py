"""Records survive Arrow, ids come from content, and the README explains every column."""

import re
from dataclasses import fields

import pyarrow as pa
import pytest

from iap_pipelines.curation import results
from iap_pipelines.curation.records import Clip, ClipTurn, Record, TurnText, Word, content_id
from iap_pipelines.curation.results import TABLES, describe_tables, table_columns, table_schema, to_table
from iap_pipelines.curation.schema import arrow_type, column_fields


def _turn(number=0, **values):
    known = {
        "turn_id": f"turn-{number}",
        "clip_id": "clip",
        "speaker_id": "speaker",
        "track_id": None,
        "match": "off_screen",
        "start_seconds": 1.0,
        "end_seconds": 2.5,
        "match_score": None,
        "match_margin": None,
        "embedding": (0.5, 0.25),
    }
    return ClipTurn(**{**known, **values})


def _words():
    return TurnText(
        turn_id="turn-0",
        clip_id="clip",
        text="red apple",
        words=(
            Word(text="red", start_seconds=1.0, end_seconds=1.5, probability=0.5),
            Word(text="apple", start_seconds=1.5, end_seconds=2.5, probability=None),
        ),
    )


def test_records_survive_a_table():
    turn, words = _turn(), _words()
    (row,) = to_table("turns", [(turn, words, None)]).to_pylist()
    assert ClipTurn.from_row(row) == turn
    assert TurnText.from_row(row) == words
    assert row["voice_file"] is None


def test_tables_are_sorted_by_id_whatever_the_order():
    rows = [(_turn(number), None, None) for number in (2, 0, 1)]
    assert to_table("turns", rows).equals(to_table("turns", rows[::-1]))
    assert to_table("turns", rows)["turn_id"].to_pylist() == ["turn-0", "turn-1", "turn-2"]


def test_an_empty_table_has_all_columns():
    for name in TABLES:
        assert to_table(name, []).schema == table_schema(name)


def test_ids_come_from_content():
    assert content_id("a", 1.0) == content_id("a", 1.0)
    assert content_id("a", 1.0000001) == content_id("a", 1.0), "times closer than a microsecond are the same"
    assert len({content_id("a", 1.0), content_id("a", 1.001), content_id("b", 1.0), content_id("a1.0")}) == 4
    assert re.fullmatch("[0-9a-f]{16}", content_id("a"))


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_explained(name):
    for column in table_columns(name).values():
        assert column.metadata["what"], column.name
    for field in table_schema(name):
        assert field.metadata[b"what"]


@pytest.mark.parametrize("name", TABLES)
def test_numbers_have_units(name):
    counts = re.compile(r"num_|number$|rank$|_index$|words$|count")
    for column in table_columns(name).values():
        is_float = arrow_type(column.type) in (pa.float64(), pa.list_(pa.float64()))
        if is_float and not counts.search(column.name):
            assert column.metadata["unit"], f"{name}.{column.name} has no unit"


def test_records_that_share_a_table_agree_on_shared_columns():
    for records in TABLES.values():
        types: dict[str, object] = {}
        for record in records:
            for column in column_fields(record):
                assert types.setdefault(column.name, arrow_type(column.type)) == arrow_type(column.type), column.name


def test_the_readme_has_the_tables_as_they_are(repository):
    text = (repository / "src/iap_pipelines/curation/README.md").read_text(encoding="utf-8")
    for table in describe_tables():
        assert table in text, "run `python -m iap_pipelines.curation.results` and paste its tables"


def test_the_id_of_a_record_is_its_first_field():
    clip = Clip(
        clip_id="c",
        source_id="s",
        shot_id="h",
        start_seconds=0.0,
        end_seconds=1.0,
        clip_seconds=1.0,
        speech_seconds=0.0,
        num_speakers=0,
    )
    assert clip.id == "c"
    kinds = [kind for kind in vars(results).values() if isinstance(kind, type) and issubclass(kind, Record)]
    assert len({kind.table for kind in kinds if kind is not Record}) == len(kinds) - 1
    assert all(fields(kind) for kind in kinds if kind is not Record)
