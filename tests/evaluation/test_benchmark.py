"""Benchmarks as files: what is refused, what is made from a folder of clips, what the generator and the scorer get."""

import json
import shutil

import pytest
import yaml

from iap_pipelines.evaluation.benchmark.build import BuildSettings, build_benchmark
from iap_pipelines.evaluation.benchmark.schema import FILE_NAME, BenchmarkFolder
from tests.evaluation.toys import ADA, BEN, CAT, ToyPerson, picture, write_clip


PEOPLE = {"ada": ADA, "ben": BEN, "cat": CAT, "dan": ToyPerson((200, 200, 40), 330)}


def _caption(names):
    sides = ["center"] if len(names) == 1 else ["left", "right"]
    looks = " ".join(f"<S{k}>: {side}, person." for k, side in enumerate(sides, start=1))
    lines = " ".join(f'<S{k}> says: "word {k}".' for k in range(1, len(names) + 1))
    return f"Scene: grey. {looks} {lines}"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Nine clips of four people; dan is of another split."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("dataset")
    (folder / "clips").mkdir()
    casts = [["ada"], ["ben"], ["cat"], ["ada"], ["ben"], ["ada"], ["ada", "ben"], ["ben", "cat"], ["dan"]]
    lines = []
    for number, names in enumerate(casts):
        turns = [(0.5 * k, 0.5 * k + 0.5, k) for k in range(len(names))]
        write_clip(folder / f"clips/{number}.mp4", [PEOPLE[name] for name in names], turns, seed=number)
        lines.append(
            {
                "clip_id": f"clip-{number}",
                "file": f"clips/{number}.mp4",
                "split": "train" if "dan" in names else "test",
                "height": 96,
                "width": 96 * len(names),
                "num_frames": 13,
                "frame_rate": 25.0,
                "subjects": [{"identity": name} for name in names],
                "caption": _caption(names),
            }
        )
    (folder / "clips.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    identities = []
    for name, person in PEOPLE.items():
        for view in range(3):
            Image.fromarray(picture(person, view / 3)).save(folder / f"{name}_{view}.png")
        write_clip(folder / f"{name}_voice.mp4", [person], [(0, 0.5, 0)])
        faces = [f"{name}_{view}.png" for view in range(3)]
        identities.append(
            {
                "identity": name,
                "split": "train" if name == "dan" else "test",
                "faces": faces,
                "voices": [f"{name}_voice.mp4"],
            }
        )
    (folder / "identities.jsonl").write_text("".join(json.dumps(line) + "\n" for line in identities))
    return folder


@pytest.fixture(scope="module")
def benchmark(dataset, tmp_path_factory):
    output = tmp_path_factory.mktemp("benchmark") / "toys"
    return build_benchmark(dataset, output, BuildSettings(name="toys", licence="CC0", items_per_group=2, seed=40))


def test_every_group_is_there(benchmark):
    items = benchmark.benchmark.items
    labels = [benchmark.reference(item, item.id).labels for item in items]
    assert {(label["people"], label["pairing"], label["condition"]) for label in labels} == {
        ("single", "cross_pair", "face_and_voice"),
        ("multi", "cross_pair", "face_and_voice"),
        ("single", "in_pair", "face_and_voice"),
        ("single", "cross_pair", "face_only"),
        ("single", "cross_pair", "voice_only"),
    }
    assert [item.seed for item in items] == list(range(40, 40 + len(items)))
    assert len({item.id.partition("-clip")[2] for item in items}) == len(items), "a clip is asked for once"


def test_only_the_split_is_asked_for(benchmark):
    assert {subject.identity for item in benchmark.benchmark.items for subject in item.subjects} <= {
        "ada",
        "ben",
        "cat",
    }


def test_the_generator_gets_what_the_condition_says(benchmark):
    for item in benchmark.benchmark.items:
        subjects = benchmark.subjects(item)
        assert [subject.has_face for subject in subjects] == [item.condition != "voice_only"] * len(subjects)
        assert [subject.has_voice for subject in subjects] == [item.condition != "face_only"] * len(subjects)


def test_the_scorer_gets_lines_and_other_pictures(benchmark):
    item = next(item for item in benchmark.benchmark.items if item.num_people == "multi")
    reference = benchmark.reference(item, benchmark.folder / "x.mp4")
    assert [subject.text for subject in reference.subjects] == ["word 1", "word 2"]
    for subject in reference.subjects:
        assert len(subject.other_faces) == 2
        assert not set(subject.faces) & set(subject.other_faces)


def test_in_pair_references_come_from_the_clip(benchmark):
    item = next(item for item in benchmark.benchmark.items if item.pairing == "in_pair")
    assert item.subjects[0].faces[0].startswith("in_pair/clip-")
    assert item.subjects[0].voices[0].endswith(".flac")


def test_the_same_folder_gives_the_same_benchmark(benchmark, dataset, tmp_path):
    again = build_benchmark(
        dataset, tmp_path / "toys", BuildSettings(name="toys", licence="CC0", items_per_group=2, seed=40)
    )
    assert again.revision == benchmark.revision


def test_targets_are_copied_when_asked(dataset, tmp_path):
    settings = BuildSettings(name="toys", licence="CC0", items_per_group=1, with_targets=True)
    made = build_benchmark(dataset, tmp_path / "toys", settings)
    assert all((made.folder / item.target).is_file() for item in made.benchmark.items)


def _rename(dataset, folder, rename):
    """The same dataset with its files at other places, and with other words in its two lists."""
    shutil.copytree(dataset, folder)
    for name in ("clips.jsonl", "identities.jsonl"):
        lines = [rename(json.loads(line)) for line in (folder / name).read_text().splitlines()]
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_files_of_one_name_in_different_folders_stay_apart(dataset, tmp_path):
    def move(path, name):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).rename(folder / name)
        return name

    def rename(line):
        if "file" in line:
            return line | {"file": move(line["file"], f"{line['clip_id']}/clip.mp4")}
        faces = [move(face, f"{line['identity']}/{view}/0.png") for view, face in enumerate(line["faces"])]
        return line | {"faces": faces}

    folder = tmp_path / "dataset"
    _rename(dataset, folder, rename)
    settings = BuildSettings(name="toys", licence="CC0", items_per_group=2, with_targets=True)
    made = build_benchmark(folder, tmp_path / "toys", settings)
    for item in made.benchmark.items:
        clip = item.id.partition("clip-")[2]
        assert item.target == f"targets/clip-{clip}.mp4"
        assert (made.folder / item.target).read_bytes() == (folder / f"clip-{clip}/clip.mp4").read_bytes()
    subject = next(item for item in made.benchmark.items if item.num_people == "multi").subjects[0]
    owner = f"references/{subject.identity}"
    assert subject.voices == (f"{owner}/voice_0.mp4",)
    for view, name in enumerate(subject.faces + subject.other_faces):
        assert name == f"{owner}/face_{view}.png"
        assert (made.folder / name).read_bytes() == (folder / subject.identity / str(view) / "0.png").read_bytes()


@pytest.mark.parametrize("key", ["identity", "clip_id"])
def test_names_that_lead_out_of_the_folder_are_refused(dataset, tmp_path, key):
    def rename(line):
        line = json.loads(json.dumps(line).replace('"ada"', '"../../escaped"')) if key == "identity" else line
        return line | {key: f"../../escaped/{line[key]}"} if key in line and key == "clip_id" else line

    folder = _rename(dataset, tmp_path / "dataset", rename)
    with pytest.raises(ValueError, match=f"`{key}` '../../escaped.*' (must be letters|cannot be the name)"):
        build_benchmark(folder, tmp_path / "some" / "toys", BuildSettings(name="toys", licence="CC0"))
    assert {path.name for path in tmp_path.iterdir()} <= {"dataset", "some"}


def test_a_full_folder_is_left_alone(dataset, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="`output`"):
        build_benchmark(dataset, tmp_path, BuildSettings(name="toys", licence="CC0"))
    with pytest.raises(ValueError, match="`split` 'none'"):
        build_benchmark(dataset, tmp_path / "new", BuildSettings(name="toys", licence="CC0", split="none"))


def _item(**changes):
    return {
        "id": "one",
        "prompt": "<S1> waves.",
        "seed": 0,
        "pairing": "cross_pair",
        "subjects": [{"identity": "ada"}],
    } | changes


def _write(folder, **changes):
    values = {
        "format": "iap-benchmark-1",
        "name": "toys",
        "version": "1",
        "description": "x",
        "licence": "CC0",
        "items": [_item()],
    }
    (folder / FILE_NAME).write_text(yaml.safe_dump(values | changes))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "colour"),
        ({"format": "other"}, "format"),
        ({"items": []}, "items"),
        ({"items": [_item(), _item()]}, "'one'.*twice"),
        ({"items": [_item(seed=-1)]}, "seed"),
        ({"items": [_item(id="../x")]}, "id"),
        ({"items": [_item(pairing="pair")]}, "pairing"),
        ({"items": [_item(prompt="<S2> waves.")]}, "<S2>"),
        ({"items": [_item(subjects=[{"identity": "ada"}, {"identity": "ada"}])]}, "different people"),
        ({"items": [_item(texts=["a", "b"])]}, "texts"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        BenchmarkFolder(_write(tmp_path, **changes))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="benchmark.yaml"):
        BenchmarkFolder(tmp_path)
    subjects = [{"identity": "ada", "faces": ["ada.png"]}]
    with pytest.raises(FileNotFoundError, match="item one names 'ada.png'"):
        BenchmarkFolder(_write(tmp_path, items=[_item(subjects=subjects)]))


def test_the_revision_follows_every_file(tmp_path):
    (tmp_path / "ada.png").write_bytes(b"1")
    _write(tmp_path, items=[_item(subjects=[{"identity": "ada", "faces": ["ada.png"]}])])
    before = BenchmarkFolder(tmp_path).revision
    assert BenchmarkFolder(tmp_path).revision == before
    (tmp_path / "ada.png").write_bytes(b"2")
    assert BenchmarkFolder(tmp_path).revision != before
