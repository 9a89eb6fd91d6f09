"""Curation against the truth of the drawn world: numbers by hand, and one run of everything on two people."""

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.curation_world import (
    NUM_DRAWS,
    Ratio,
    TrueLine,
    TrueShot,
    calibrated,
    draw,
    find_appearances,
    judge_few,
    judge_links,
    judge_shots,
    judge_speakers,
    judge_turns,
    learned,
    main,
    sweep,
    turn_error,
    with_threshold,
    write_sources,
)
from iap_pipelines.curation.discovery import find_sources
from iap_pipelines.curation.engines import InlineEngine
from iap_pipelines.curation.ledger import Ledger
from iap_pipelines.curation.link import LinkSettings
from iap_pipelines.curation.measure import measure_all
from iap_pipelines.curation.walk import Worker, read_only, walk
from iap_pipelines.media import probe
from iap_pipelines.synthetic import WorldConfig, synthesize
from tests.curation.toy_people import people_plan
from tests.curation.toys import write_sources as write_texts


def test_turn_error_by_hand():
    wanted = [TrueLine("ada", 0.0, 2.0), TrueLine("ben", 2.0, 3.0)]
    names_do_not_matter = [TrueLine("x", 0.0, 2.0), TrueLine("y", 2.0, 3.0)]
    assert turn_error(wanted, names_do_not_matter).rate == 0
    one_voice = turn_error(wanted, [TrueLine("x", 0.0, 3.0)])
    assert (one_voice.confused, one_voice.missed, one_voice.false) == pytest.approx((1.0, 0.0, 0.0))
    late = turn_error(wanted, [TrueLine("x", 0.5, 2.0), TrueLine("y", 2.0, 4.0)])
    assert (late.confused, late.missed, late.false) == pytest.approx((0.0, 0.5, 1.0))
    assert late.rate == pytest.approx(1.5 / 3)
    assert turn_error(wanted, []).rate == pytest.approx(1.0)
    assert math.isnan(turn_error([], []).rate)


def _shot(start: float, *people: str) -> TrueShot:
    """One second, people side by side who speak one after the other, as the toys do."""
    share = 1 / len(people)
    faces = {name: (place + 0.5) * share for place, name in enumerate(people)}
    lines = [TrueLine(name, start + place * share, start + (place + 1) * share) for place, name in enumerate(people)]
    return TrueShot(start, start + 1, faces, tuple(lines))


@pytest.fixture
def truth():
    return {
        "one.mp4": (_shot(0.0, "ada"), _shot(1.0, "ada", "ben")),
        "two.mp4": (_shot(0.0, "ben"), _shot(1.0, "cy")),
    }


@pytest.fixture
def known(tmp_path):
    write_texts(tmp_path / "in", one="ada ada+ben", two="ben cy")
    plan, ledger = people_plan(tmp_path / "out"), Ledger(tmp_path / "out" / "ledger")
    sources = find_sources(tmp_path / "in").sources
    measure_all(InlineEngine(lambda: Worker(plan, ledger, tmp_path / "in")), plan, ledger, tmp_path / "in", sources)
    return {
        source.path: walk(plan, ledger, tmp_path / "in" / source.path, source, read_only).known for source in sources
    }


def test_what_is_right_is_counted_as_right(known, truth):
    assert judge_shots(known, truth) == Ratio(2, 2, 2)
    time = judge_speakers(known, truth)
    assert (time.right, time.wrong, time.open) == pytest.approx((1.0, 0.0, 0.0))
    assert judge_speakers(known, truth, min_faces=1).right == pytest.approx(4.0)
    links = judge_links(find_appearances(known, truth), LinkSettings())
    assert links == Ratio(right=2, found=2, wanted=2)


def test_what_is_wrong_is_counted_as_wrong(known, truth):
    one, both = truth["one.mp4"]
    swapped = {**truth, "one.mp4": (one, replace(both, faces={"ben": 0.25, "ada": 0.75}))}
    assert judge_speakers(known, swapped).wrong == pytest.approx(1.0)
    links = judge_links(find_appearances(known, swapped), LinkSettings())
    assert (links.right, links.found, links.wanted) == (0, 2, 2)
    moved = {**truth, "one.mp4": (_shot(0.0, "ada"), _shot(1.1, "ada", "ben"))}
    assert judge_shots(known, moved).right == 1
    more = {**truth, "two.mp4": (_shot(0.0, "ben"), _shot(1.0, "cy"), _shot(2.0, "ben"))}
    assert judge_shots(known, more) == Ratio(2, 2, 3)
    assert judge_links(find_appearances(known, more), LinkSettings()).recall == pytest.approx(2 / 4)


def test_a_face_where_nobody_is_makes_its_links_wrong(known, truth):
    elsewhere = {**truth, "two.mp4": (TrueShot(0.0, 1.0, {"ben": 0.9}, ()), truth["two.mp4"][1])}
    links = judge_links(find_appearances(known, elsewhere), LinkSettings())
    assert (links.right, links.found) == (1, 2)


def test_turns_are_judged_with_the_names_that_faces_give(known, truth):
    people = find_appearances(known, truth)
    by_person = {one.track_id: people.true[one.subject_id][2] for one in people.subjects}
    assert judge_turns(known, truth, by_person).rate == pytest.approx(0.0)
    one_name = dict.fromkeys(by_person, "somebody")
    confused = judge_turns(known, truth, one_name)
    assert confused.confused == pytest.approx(0.5 + 1.0), "half a second of one.mp4, one second of two.mp4"


def test_thresholds_are_learned_on_every_second_person(known, truth):
    people = find_appearances(known, truth)
    first, second = people.halves()
    assert set(first.num_shots) == {"ada", "cy"} and set(second.num_shots) == {"ben"}
    assert {people.true[one.subject_id][2] for one in first.subjects} == {"ada", "cy"}
    assert first.num_wanted + second.num_wanted == people.num_wanted == 2
    settings = learned(first, LinkSettings())
    assert judge_links(first, settings) == Ratio(1, 1, 1)
    assert judge_few(people, LinkSettings(), 3) == Ratio(2 * NUM_DRAWS, 2 * NUM_DRAWS, 2 * NUM_DRAWS), "all of them"
    few = judge_few(people, LinkSettings(), 1)
    assert few.right == few.found == few.wanted <= NUM_DRAWS, "each alone, some in two clips"
    assert settings.min_face_alone >= settings.min_face_similarity


def test_the_sweep_ends_with_no_links(known, truth, tmp_path):
    people, settings = find_appearances(known, truth), LinkSettings()
    curve = sweep(people, settings, "face", (0.1, 0.6, 1.01))
    recalls = [ratio.recall for _, ratio in curve]
    assert recalls == sorted(recalls, reverse=True) and recalls[0] == 1 and recalls[-1] == 0
    draw({"face": curve, "voice": curve}, settings, tmp_path / "sweep.svg")
    assert "<svg" in (tmp_path / "sweep.svg").read_text()
    left, right = (one for one in people.subjects if people.true[one.subject_id][:2] == ("one.mp4", 1.0))
    stranger = float(np.dot(left.face_embedding, right.face_embedding))
    lax = with_threshold(settings, "face", stranger - 0.1)
    assert calibrated(people, lax).min_face_similarity == pytest.approx(stranger, abs=1e-6), "two are seen at once"
    assert calibrated(people, settings).min_face_similarity == settings.min_face_similarity, "one pair is too few"


def test_sources_are_made_of_clips_of_one_size(tmp_path):
    config = WorldConfig(
        num_identities=3, clips_per_identity=2, two_person_share=0.5, three_person_share=0.0, seed=3, height=48,
        lines_per_turn=2, num_frames=60, held_out_share=0.0, voice_backend="formant",
    )  # fmt: skip
    synthesize(config, tmp_path / "world")
    truth = write_sources(tmp_path / "world", tmp_path / "sources", clips_per_source=2, seed=0)
    assert [len(shots) for shots in truth.values()] == [2, 1, 2, 1]
    shots = [shot for group in truth.values() for shot in group]
    assert sorted(name for shot in shots for name in shot.faces if len(shot.faces) == 1) == [
        "id-0000", "id-0001", "id-0002"
    ]  # fmt: skip
    for path, group in truth.items():
        info = probe(tmp_path / "sources" / path)
        assert info.pictures.duration_seconds == pytest.approx(group[-1].end, abs=0.01)
        for before, after in zip(group, group[1:], strict=False):
            assert before.end == after.start
        for shot in group:
            assert all(shot.start <= line.start < line.end <= shot.end for line in shot.lines)
            assert {line.identity for line in shot.lines} == set(shot.faces)
            assert list(shot.faces.values()) == sorted(shot.faces.values())
    times = {path: (tmp_path / "sources" / path).stat().st_mtime_ns for path in truth}
    assert write_sources(tmp_path / "world", tmp_path / "sources", clips_per_source=2, seed=0) == truth
    assert {path: (tmp_path / "sources" / path).stat().st_mtime_ns for path in truth} == times


@pytest.mark.slow
def test_two_people_by_the_real_models(tmp_path, capsys):
    arguments = "--identities 2 --clips-per-identity 2 --seconds 4 --lines 2 --voice-backend formant --output"
    assert main([*arguments.split(), str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "4 clips of 2 drawn people in 2 sources." in printed
    assert "| cuts within 2 frames, F1 | 100.0 % | 2 of 2, 2 found |" in printed
    assert (tmp_path / "sweep.svg").is_file()
