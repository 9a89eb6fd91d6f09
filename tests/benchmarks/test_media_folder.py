"""What a manifest says of its files."""

import math

import pytest

from benchmarks.media_folder import MediaRow, read_manifest


def _write(folder, *rows, header="file,kind,identity,speaking,notes"):
    for row in rows:
        (folder / row.split(",")[0]).write_bytes(b"")
    (folder / "manifest.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


def test_rows_are_read_by_what_they_show(tmp_path):
    rows = read_manifest(
        _write(
            tmp_path,
            "a.mp4,video,ada,ada,",
            "ab.mov,video,ada; ben,ben,",
            "wrong.mp4,composite,ada,ben,",
            "turns.mp4,composite,ada;ben,ada;ben,",
            "a.JPG,image,ada,,",
            "ben.flac,voice,ben,ben,",
            "bad.mp4,bad,ada,ada,cut off",
        )
    )
    assert [row.path.name for row in rows] == ["a.mp4", "ab.mov", "wrong.mp4", "turns.mp4", "a.JPG", "ben.flac"]
    assert [row.is_clean for row in rows] == [True, False, False, False, False, False]
    assert [row.is_faulty for row in rows] == [False, False, True, False, False, False]
    assert [row.shows_one for row in rows] == [True, False, True, False, True, False]
    assert [row.sounds_like_one for row in rows] == [True, True, True, False, False, True]
    assert rows[1].seen == ("ada", "ben")


@pytest.mark.parametrize(
    ("notes", "late_ms"),
    [
        ("audio 400 ms late: lip-sync error of known size", 400),
        ("the sound is 62.5ms late", 62.5),
        ("Audio is delayed", math.nan),
        ("audio is related to a later scene", None),
        ("a late evening", None),
        ("", None),
    ],
)
def test_notes_say_how_late_the_sound_is(tmp_path, notes, late_ms):
    found = MediaRow(tmp_path / "a.mp4", "video", ("ada",), ("ada",), notes).late_ms
    assert found == pytest.approx(late_ms, nan_ok=True) if late_ms is not None else found is None


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="manifest.csv"):
        read_manifest(tmp_path)
    _write(tmp_path, "a.mp4,ada", header="file,identity")
    with pytest.raises(ValueError, match="lacks kind, speaking, notes"):
        read_manifest(tmp_path)
    _write(tmp_path, "a.mp4,video,ada,ada,")
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(FileNotFoundError, match="names a.mp4"):
        read_manifest(tmp_path)
