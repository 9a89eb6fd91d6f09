"""Curate drawn people of whom all is known, and compare with the truth: `python -m benchmarks.curation_world`.

Clips of a synthetic world (`iap synthesize`) are joined to sources of several shots, which the stages up to `match`
measure. Gates are left out, so that every clip counts. The sweep shows what other thresholds of `link:` would give.
"""

import argparse
import functools
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks.curation import watch_memory, worker_memory
from benchmarks.figures import open_pyplot, save_figure
from benchmarks.measuring import markdown_table
from iap_pipelines.curation.calibrate import calibrate, strangers_of_clips
from iap_pipelines.curation.config import CurationConfig
from iap_pipelines.curation.discovery import find_sources
from iap_pipelines.curation.engines import LocalEngine
from iap_pipelines.curation.ledger import Ledger
from iap_pipelines.curation.link import LinkSettings, link_subjects
from iap_pipelines.curation.measure import measure_all
from iap_pipelines.curation.people import subjects_of
from iap_pipelines.curation.records import Clip, ClipTurn, DiarizedTurn, Shot, Source, Track
from iap_pipelines.curation.results import ClipSubject
from iap_pipelines.curation.stage import Known, chain
from iap_pipelines.curation.walk import Plan, Worker, read_only, walk
from iap_pipelines.media import read_video, write_video
from iap_pipelines.synthetic import WorldConfig, synthesize


STAGES = ("probe", "shots", "speech", "clips", "faces", "lips", "match")
MAX_SHOT_FRAMES = 2
GRID_SECONDS = 0.01
BREATH_SECONDS = 0.3
"""Pauses up to here belong to a turn, as transcripts of meetings have it; who is silent longer begins another."""
LINK_RECALL = 0.9
"""At which precision shall be 99 %."""
GRID = tuple(np.arange(0.3, 0.86, 0.05).round(2).tolist())
"""Thresholds that are tried on one half of the people."""
FEW, NUM_DRAWS = (5, 10, 20), 20
"""Numbers of people that are linked as if there were no others, and how often they are drawn."""
MAX_PLACE_ERROR = 0.1
"""How far a track may lie from a drawn face, over the width of the picture, to be its."""


@dataclass(frozen=True)
class TrueLine:
    """Somebody speaks, in seconds on the clock of the source."""

    identity: str
    start: float
    end: float


@dataclass(frozen=True)
class TrueShot:
    """A clip of the world within a source.

    Args:
        start, end: seconds on the clock of the source.
        faces: middle of each face (0 left, 1 right) by identity.
        lines: in order.
    """

    start: float
    end: float
    faces: dict[str, float]
    lines: tuple[TrueLine, ...]


Truth = dict[str, tuple[TrueShot, ...]]
"""Shots of each source, by its path"""
Appearance = tuple[str, float, str]
"""Path of the source, start of the shot, identity"""


def write_sources(world: Path, folder: Path, clips_per_source: int, seed: int) -> Truth:
    """Join clips of equal size to sources, in an order that is drawn; what is there already is kept."""
    records = [json.loads(line) for line in (world / "clips.jsonl").read_text(encoding="utf-8").splitlines()]
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    truth: Truth = {}
    for width in sorted({record["width"] for record in records}):
        group = [record for record in records if record["width"] == width]
        group = [group[index] for index in generator.permutation(len(group))]
        for first in range(0, len(group), clips_per_source):
            name, joined = f"source-{len(truth):04d}.mp4", group[first : first + clips_per_source]
            truth[name] = _true_shots(world, joined)
            if not (folder / name).exists():
                _join(world, joined, folder / name)
    return truth


def _true_shots(world: Path, records: Sequence[dict]) -> tuple[TrueShot, ...]:
    shots, start = [], 0.0
    for record in records:
        boxes = np.load(world / record["truth"])["face_box"].mean(axis=0)
        middles = (boxes[:, 0] + boxes[:, 2]) / 2 / record["width"]
        names = [subject["identity"] for subject in record["subjects"]]
        lines = tuple(
            TrueLine(names[line["subject"] - 1], start + line["start"], start + line["end"])
            for line in record["lines"]
        )
        end = start + record["num_frames"] / record["frame_rate"]
        shots.append(TrueShot(start, end, dict(zip(names, middles.tolist(), strict=True)), lines))
        start = end
    return tuple(shots)


def _join(world: Path, records: Sequence[dict], path: Path) -> None:
    pictures, sounds = [], []
    for record in records:
        video, audio = read_video(world / record["file"])
        length = round(record["num_frames"] / record["frame_rate"] * audio.sampling_rate)
        samples = audio.to_mono().samples[0].numpy()[:length]
        pictures.append(video.frames.numpy())
        sounds.append(np.pad(samples, (0, length - len(samples))))
    rates = {"frame_rate": records[0]["frame_rate"], "sampling_rate": records[0]["sampling_rate"]}
    write_video(np.concatenate(pictures), np.concatenate(sounds), path, **rates)


def measure(
    folder: Path, output: Path, config: CurationConfig, workers: int, paths: Collection[str]
) -> dict[str, Known]:
    """What the stages find out about these sources of a folder, by path. Goes on where an earlier run stopped."""
    sources = [source for source in find_sources(folder).sources if source.path in paths]
    make_worker = functools.partial(_make_worker, config.model_dump_json(), folder, output)
    engine = LocalEngine(make_worker, workers, config.run.timeout_seconds)
    plan, ledger = _plan(config), Ledger(output / "ledger")
    measure_all(engine, plan, ledger, folder, sources)
    walked = {source.path: walk(plan, ledger, folder / source.path, source, read_only) for source in sources}
    rejects = [reject for item in walked.values() for reject in item.rejects.values() if reject.kind == "failed"]
    if rejects:
        raise RuntimeError(f"{len(rejects)} units failed; {rejects[0].record_id}: {rejects[0].detail}")
    return {path: item.known for path, item in walked.items()}


def _plan(config: CurationConfig) -> Plan:
    stages = [stage for stage in config.stages.in_order() if stage.name in STAGES]
    for stage in stages:
        stage.setup()
    return Plan(chain(stages), config.gates)


def _make_worker(config_json: str, folder: Path, output: Path) -> Worker:
    return Worker(_plan(CurationConfig.model_validate_json(config_json)), Ledger(output / "ledger"), folder)


@dataclass(frozen=True)
class Ratio:
    """Precision and recall of something that is found or not.

    >>> Ratio(right=3, found=4, wanted=6).f1
    0.6
    """

    right: int
    found: int
    wanted: int

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else float("nan")

    @property
    def recall(self) -> float:
        return self.right / self.wanted if self.wanted else float("nan")

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.found + self.wanted) if self.found + self.wanted else float("nan")


def judge_shots(known: dict[str, Known], truth: Truth) -> Ratio:
    """Cuts within two frames; each counts once."""
    right = found = wanted = 0
    for path, shots in truth.items():
        limit = MAX_SHOT_FRAMES / known[path].one(Source).source_frame_rate + 1e-6
        cuts = [shot.start_seconds for shot in known[path].all(Shot) if shot.shot_index > 0]
        starts = [shot.start for shot in shots[1:]]
        found, wanted = found + len(cuts), wanted + len(starts)
        if cuts and starts:
            near = np.abs(np.subtract.outer(starts, cuts)) <= limit
            right += int(near[linear_sum_assignment(-near.astype(float))].sum())
    return Ratio(right, found, wanted)


@dataclass(frozen=True)
class SpeakerTime:
    """Seconds of speech of which the true speaker is known."""

    right: float = 0.0
    wrong: float = 0.0
    open: float = 0.0
    """heard, but given to no face"""

    def __add__(self, other: "SpeakerTime") -> "SpeakerTime":
        return SpeakerTime(self.right + other.right, self.wrong + other.wrong, self.open + other.open)

    @property
    def total(self) -> float:
        return self.right + self.wrong + self.open


def judge_speakers(known: dict[str, Known], truth: Truth, min_faces: int = 2) -> SpeakerTime:
    """Whose face the speech was given to, where so many people are seen."""
    time = SpeakerTime()
    for path, shots in truth.items():
        owners = _owners(known[path], shots)
        lines = [line for shot in shots if len(shot.faces) >= min_faces for line in shot.lines]
        for turn in known[path].all(ClipTurn):
            for line in lines:
                seconds = max(0.0, min(turn.end_seconds, line.end) - max(turn.start_seconds, line.start))
                if turn.track_id is None:
                    time += SpeakerTime(open=seconds)
                elif owners.get(turn.track_id) == line.identity:
                    time += SpeakerTime(right=seconds)
                else:
                    time += SpeakerTime(wrong=seconds)
    return time


def _owners(known: Known, shots: Sequence[TrueShot]) -> dict[str, str]:
    """The identity of each track that lies on a drawn face."""
    clips = {clip.clip_id: clip for clip in known.all(Clip)}
    owners = {}
    for track in known.all(Track):
        shot = _shot_of(clips[track.clip_id], shots)
        name = min(shot.faces, key=lambda identity: abs(shot.faces[identity] - track.center_x))
        if abs(shot.faces[name] - track.center_x) <= MAX_PLACE_ERROR:
            owners[track.track_id] = name
    return owners


def _shot_of(clip: Clip, shots: Sequence[TrueShot]) -> TrueShot:
    return max(shots, key=lambda shot: min(clip.end_seconds, shot.end) - max(clip.start_seconds, shot.start))


@dataclass(frozen=True)
class TurnError:
    """Diarisation error in seconds; voices of a source are named so that it is smallest."""

    missed: float = 0.0
    false: float = 0.0
    confused: float = 0.0
    speech: float = 0.0

    def __add__(self, other: "TurnError") -> "TurnError":
        return TurnError(*(getattr(self, name) + getattr(other, name) for name in vars(self)))

    @property
    def rate(self) -> float:
        return (self.missed + self.false + self.confused) / self.speech if self.speech else float("nan")


def judge_turns(known: dict[str, Known], truth: Truth, identity_of: dict[str, str] | None = None) -> TurnError:
    """Who speaks when, over whole sources; no margin around changes is left out.

    Args:
        known: what was found.
        truth: what is true.
        identity_of: the person of each track: then turns as faces corrected them are judged, and each person of a
            source has to have one name in all its shots. ``None``: voices, by sound alone.
    """
    total = TurnError()
    for path, shots in truth.items():
        if identity_of is None:
            found = [(turn.speaker_id, turn) for turn in known[path].all(DiarizedTurn)]
        else:
            found = [(identity_of.get(turn.track_id, turn.speaker_id), turn) for turn in known[path].all(ClipTurn)]
        heard = [TrueLine(name, turn.start_seconds, turn.end_seconds) for name, turn in found]
        total += turn_error([turn for shot in shots for turn in to_turns(shot.lines)], heard)
    return total


def to_turns(lines: Sequence[TrueLine]) -> list[TrueLine]:
    """Lines of one person after another, without the pauses for breath between them.

    >>> to_turns([TrueLine("ada", 0.0, 1.0), TrueLine("ada", 1.2, 2.0), TrueLine("ben", 2.1, 3.0)])
    [TrueLine(identity='ada', start=0.0, end=2.0), TrueLine(identity='ben', start=2.1, end=3.0)]
    """
    turns: list[TrueLine] = []
    for line in lines:
        if turns and turns[-1].identity == line.identity and line.start - turns[-1].end <= BREATH_SECONDS:
            turns[-1] = replace(turns[-1], end=line.end)
        else:
            turns.append(line)
    return turns


def turn_error(wanted: Sequence[TrueLine], found: Sequence[TrueLine]) -> TurnError:
    """Compare two lists of lines on a grid of 10 ms; where two overlap, both count."""
    end = max((line.end for line in (*wanted, *found)), default=0.0)
    said, heard = _on_grid(wanted, end), _on_grid(found, end)
    together = said.astype(float) @ heard.T.astype(float)
    matched = float(together[linear_sum_assignment(-together)].sum())
    num_said, num_heard = said.sum(axis=0), heard.sum(axis=0)
    both = float(np.minimum(num_said, num_heard).sum())
    return TurnError(
        missed=GRID_SECONDS * float(np.maximum(num_said - num_heard, 0).sum()),
        false=GRID_SECONDS * float(np.maximum(num_heard - num_said, 0).sum()),
        confused=GRID_SECONDS * (both - matched),
        speech=GRID_SECONDS * float(num_said.sum()),
    )


def _on_grid(lines: Sequence[TrueLine], end: float) -> np.ndarray:
    """Who speaks at each step, ``[S, T]``."""
    names = sorted({line.identity for line in lines})
    grid = np.zeros((len(names), round(end / GRID_SECONDS)), int)
    for line in lines:
        grid[names.index(line.identity), round(line.start / GRID_SECONDS) : round(line.end / GRID_SECONDS)] = 1
    return grid


@dataclass(frozen=True)
class Appearances:
    """People as they were found, and as they are."""

    subjects: tuple[ClipSubject, ...]
    true: dict[str, Appearance | None]
    """by subject; ``None`` for a face where nobody is"""
    num_shots: dict[str, int]
    """in how many shots each person is, found or not"""
    seen: dict[str, tuple[float, float]]
    """when each track begins and ends"""

    @property
    def num_wanted(self) -> int:
        """Pairs of one person in different shots."""
        return sum(count * (count - 1) // 2 for count in self.num_shots.values())

    def halves(self) -> tuple["Appearances", "Appearances"]:
        """Every second person, and the others. A face where nobody is counts among the others."""
        first = sorted(self.num_shots)[::2]
        return self.of(first), self.of([None, *(name for name in self.num_shots if name not in first)])

    def of(self, people: Collection[str | None]) -> "Appearances":
        """These people alone; ``None``: faces where nobody is."""
        owner = {name: appearance and appearance[2] for name, appearance in self.true.items()}
        return Appearances(
            tuple(subject for subject in self.subjects if owner[subject.subject_id] in people),
            {name: appearance for name, appearance in self.true.items() if owner[name] in people},
            {name: count for name, count in self.num_shots.items() if name in people},
            self.seen,
        )


def find_appearances(known: dict[str, Known], truth: Truth) -> Appearances:
    """The subjects of every clip, each with the appearance that it is."""
    subjects: list[ClipSubject] = []
    true: dict[str, Appearance | None] = {}
    shots_of: dict[str, int] = {}
    seen: dict[str, tuple[float, float]] = {}
    for path, shots in truth.items():
        seen |= {track.track_id: (track.start_seconds, track.end_seconds) for track in known[path].all(Track)}
        owners = _owners(known[path], shots)
        for shot in shots:
            for identity in shot.faces:
                shots_of[identity] = shots_of.get(identity, 0) + 1
        for clip in known[path].all(Clip):
            shot = _shot_of(clip, shots)
            for subject in subjects_of(known[path], clip):
                name = owners.get(subject.track_id)
                subjects.append(subject)
                true[subject.subject_id] = None if name is None else (path, shot.start, name)
    return Appearances(tuple(subjects), true, shots_of, seen)


def judge_links(people: Appearances, settings: LinkSettings) -> Ratio:
    """Pairs of appearances in different shots that were linked, of those that are one person's."""
    linked: set[frozenset[Appearance]] = set()
    wrong = 0
    for group in link_subjects(people.subjects, settings).groups:
        for index, first in enumerate(group):
            for second in group[index + 1 :]:
                a, b = people.true[first.subject_id], people.true[second.subject_id]
                if a is None or b is None or a[2] != b[2]:
                    wrong += 1
                elif a != b:
                    linked.add(frozenset((a, b)))
    return Ratio(len(linked), len(linked) + wrong, people.num_wanted)


def judge_few(people: Appearances, settings: LinkSettings, count: int) -> Ratio:
    """As `judge_links`, over `NUM_DRAWS` draws of so many people, as if there were no others."""
    generator = np.random.default_rng(count)
    draws = [generator.choice(sorted(people.num_shots), count, replace=False).tolist() for _ in range(NUM_DRAWS)]
    found = [judge_links(people.of(draw), settings) for draw in draws]
    return Ratio(*(sum(getattr(links, name) for links in found) for name in ("right", "found", "wanted")))


def sweep(people: Appearances, settings: LinkSettings, modality: str, values: Iterable[float]) -> "Curve":
    """Linking with other thresholds of ``"face"`` or ``"voice"``, each with its precision and recall."""
    return [(value, judge_links(people, with_threshold(settings, modality, value))) for value in values]


Curve = list[tuple[float, Ratio]]


def learned(people: Appearances, settings: LinkSettings) -> LinkSettings:
    """The strictest thresholds of face and voice that still give `LINK_RECALL`.

    Of those with the highest precision, the ones with the largest sum: two people who are taken for one another are so
    rare among a few that their highest similarity says little of others.
    """
    best, chosen = (False, -1.0, 0.0), settings
    for face in GRID:
        for voice in GRID:
            tried = with_threshold(with_threshold(settings, "face", face), "voice", voice)
            links = judge_links(people, tried)
            rank = (links.recall >= LINK_RECALL, links.precision, face + voice)
            if links.found and rank > best:
                best, chosen = rank, tried
    return _alone(chosen)


def with_threshold(settings: LinkSettings, modality: str, value: float) -> LinkSettings:
    """Another threshold of pairs; the one of groups stays as far below it as it was."""
    pair, group = f"min_{modality}_similarity", f"min_group_{modality}_similarity"
    distance = getattr(settings, pair) - getattr(settings, group)
    return settings.model_copy(update={pair: value, group: value - distance})


def calibrated(people: Appearances, settings: LinkSettings) -> LinkSettings:
    """Thresholds that keep people who are seen at once apart, as the report of a run advises; no truth is used."""
    common_face = link_subjects(people.subjects, settings).common_face
    found = strangers_of_clips(people.subjects, people.seen, common_face)
    for modality, strangers in zip(("face", "voice"), found, strict=True):
        if strangers:
            used = getattr(settings, f"min_{modality}_similarity")
            settings = with_threshold(settings, modality, calibrate(strangers, []).advised(used))
    return _alone(settings)


def _alone(settings: LinkSettings) -> LinkSettings:
    """Who is never heard needs a face that is no less alike."""
    alone = max(settings.min_face_alone, settings.min_face_similarity)
    return settings.model_copy(update={"min_face_alone": alone})


def draw(curves: dict[str, Curve], settings: LinkSettings, path: Path) -> None:
    """One panel per threshold: precision and recall of links, and where the threshold stands."""
    pyplot = open_pyplot()

    figure, panels = pyplot.subplots(1, len(curves), figsize=(3.6 * len(curves), 3), layout="constrained")
    for panel, (modality, points) in zip(np.atleast_1d(panels), curves.items(), strict=True):
        values = [value for value, _ in points]
        panel.plot(values, [ratio.precision for _, ratio in points], label="precision")
        panel.plot(values, [ratio.recall for _, ratio in points], label="recall")
        panel.axvline(getattr(settings, f"min_{modality}_similarity"), color="0.6", linestyle=":")
        panel.set_xlabel(f"min_{modality}_similarity", fontsize=9)
        panel.set_ylim(0, 1.02)
        panel.legend(fontsize=8)
    save_figure(figure, path)


def table(known: dict[str, Known], truth: Truth, settings: LinkSettings) -> str:
    """Every number, as Markdown."""
    shots, people = judge_shots(known, truth), find_appearances(known, truth)
    groups = link_subjects(people.subjects, settings).groups
    identity_of = {one.track_id: group[0].subject_id for group in groups for one in group}
    rows = [["cuts within 2 frames, F1", _percent(shots.f1), f"{shots.right} of {shots.wanted}, {shots.found} found"]]
    for words, turns in (
        ("sound alone", judge_turns(known, truth)),
        ("with faces and identities", judge_turns(known, truth, identity_of)),
    ):
        parts = [f"{name} {_percent(getattr(turns, name) / turns.speech)}" for name in ("missed", "false", "confused")]
        rows.append([f"speaker-turn error, {words}", _percent(turns.rate), ", ".join(parts)])
    for min_faces, words in ((2, "several people seen"), (1, "all clips")):
        time = judge_speakers(known, truth, min_faces)
        if time.total:
            parts = f"wrong {_percent(time.wrong / time.total)}, given to nobody {_percent(time.open / time.total)}"
            rows.append([f"speech given to who says it, {words}", _percent(time.right / time.total), parts])
    first, second = people.halves()
    chosen_on_first, chosen_on_second = learned(first, settings), learned(second, settings)
    for words, judged, chosen in (
        ("default thresholds", people, settings),
        ("thresholds that the report advises", people, calibrated(people, settings)),
        ("every second person, thresholds learned on them", first, chosen_on_first),
        ("the other people, the same thresholds", second, chosen_on_first),
        ("the other people, thresholds learned on them", second, chosen_on_second),
        ("every second person, the same thresholds", first, chosen_on_second),
    ):
        links = judge_links(judged, chosen)
        at = f"face {chosen.min_face_similarity:.2f}, voice {chosen.min_voice_similarity:.2f}"
        count = f"{links.right} of {links.found} links, {links.wanted} wanted; {at}"
        rates = f"{_percent(links.precision)} / {_percent(links.recall)}"
        rows.append([f"identity links, precision / recall, {words}", rates, count])
    for number in (number for number in FEW if number < len(people.num_shots)):
        links = judge_few(people, settings, number)
        rates = f"{_percent(links.precision)} / {_percent(links.recall)}"
        rows.append([f"the same, default thresholds, {number} people alone", rates, f"{NUM_DRAWS} draws"])
    return markdown_table(("measured", "value", "of which"), rows)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of world, sources and run; continued")
    parser.add_argument("--identities", type=int, default=35, help="people (%(default)s)")
    parser.add_argument("--clips-per-identity", type=int, default=6, help="clips that each is first in (%(default)s)")
    parser.add_argument("--seconds", type=float, default=7.0, help="length of a clip (%(default)s)")
    parser.add_argument("--lines", type=int, default=4, help="lines that each person says in a row (%(default)s)")
    parser.add_argument("--frame-rate", type=float, default=16.0, help="frames per second (%(default)s)")
    parser.add_argument("--height", type=int, default=258, help="pixels (%(default)s)")
    parser.add_argument("--clips-per-source", type=int, default=3, help="shots of a source (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of world and order (%(default)s)")
    parser.add_argument("--voice-backend", default="kokoro", help="as of `iap synthesize` (%(default)s)")
    parser.add_argument("--voice-bank", type=Path, help="spoken words of a world of this seed")
    parser.add_argument("--kokoro-voices", type=Path, help="as of `iap synthesize`")
    parser.add_argument("--config", type=Path, help="settings as of `iap curate --config`")
    parser.add_argument("--plot", type=Path, help="SVG or PNG of the sweep; `sweep.svg` in the output if not given")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--sources", type=int, help="so many of the sources; all if not given")
    args = parser.parse_args(arguments)
    world = WorldConfig(
        num_identities=args.identities,
        clips_per_identity=args.clips_per_identity,
        seed=args.seed,
        height=args.height,
        num_frames=round(args.seconds * args.frame_rate),
        lines_per_turn=args.lines,
        frame_rate=args.frame_rate,
        held_out_share=0.0,
        voice_backend=args.voice_backend,
    )
    voices = {"voice_bank": args.voice_bank, "kokoro_voices": args.kokoro_voices}
    synthesize(world, args.output / "world", workers=args.workers, **voices)
    truth = write_sources(args.output / "world", args.output / "sources", args.clips_per_source, args.seed)
    if args.sources is not None:  # evenly, for they are sorted by how many people are seen
        places = np.linspace(0, len(truth) - 1, min(args.sources, len(truth))).round().astype(int)
        truth = {path: truth[path] for path in np.array(list(truth))[places].tolist()}
    config = CurationConfig() if args.config is None else CurationConfig.from_yaml(args.config)
    folder, run = args.output.absolute() / "sources", args.output.absolute() / "run"
    with watch_memory() as memory:
        known = measure(folder, run, config, args.workers, truth)
    num_clips = sum(map(len, truth.values()))
    print(f"{num_clips} clips of {world.num_identities} drawn people in {len(truth)} sources.\n")
    if quarters := worker_memory(memory, args.workers):
        print(
            f"Largest memory of a worker in each quarter of this run: {', '.join(f'{mb:.0f}' for mb in quarters)} MB\n"
        )
    print(table(known, truth, config.link))
    people, values = find_appearances(known, truth), np.arange(0.2, 0.96, 0.02).round(2).tolist()
    plot = args.plot or args.output / "sweep.svg"
    draw({modality: sweep(people, config.link, modality, values) for modality in ("face", "voice")}, config.link, plot)
    print(f"\n{plot}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
