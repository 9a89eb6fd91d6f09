import dataclasses

from benchmarks import scaling
from benchmarks.setting import LoopSetting


def test_one_thing_changes_at_a_time():
    base, *others = scaling.settings_to_compare(LoopSetting())
    for other in others:
        changed = [name for name, value in dataclasses.asdict(other).items() if value != getattr(base, name)]
        assert len(changed) == 1
    assert len(others) == 6


def test_the_table_has_a_row_for_each_setting(tiny_setting):
    settings = [tiny_setting, dataclasses.replace(tiny_setting, num_subjects=2)]
    rows = scaling.compare(settings, repeats=1).splitlines()[-2:]
    assert [row.split("|")[1:5] for row in rows] == [[" 5 ", " 1 ", " 2 ", " 8 "], [" 5 ", " 2 ", " 2 ", " 8 "]]
