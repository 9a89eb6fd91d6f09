"""What was measured is not measured again."""

from benchmarks.score_book import ScoreBook


def test_values_are_kept_under_their_settings(tmp_path):
    path = tmp_path / "work" / "scores.jsonl"
    assert ScoreBook(path, {"a": 1}).get("x", lambda: 0.5) == 0.5
    path.write_text(path.read_text() + '{"cut off')
    assert ScoreBook(path, {"a": 1}).get("x", lambda: 0.7) == 0.5
    assert ScoreBook(path, {"a": 2}).get("x", lambda: 0.7) == 0.7
