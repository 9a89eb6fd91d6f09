import pytest

from iap_pipelines.evaluation.references import missing_files, read_references, unlisted_videos


HEADER = "video,subject,face,other_faces,voice,text,prompt,label_system\n"


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4", "c.MOV", "notes.txt"):
        (folder / name).write_bytes(b"")
    return folder


def _csv(tmp_path, text):
    path = tmp_path / "references.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_of_one_video_are_its_people(tmp_path, videos):
    path = _csv(
        tmp_path,
        HEADER + "a.mp4,ada,ada.png;ada2.png,ada3.png,ada.wav,red apple,A caption,ours\n"
        "b.mp4,,x.png,,,,,theirs\na.mp4,ben,ben.png,,ben.wav,blue bird,,ours\n",
    )
    first, second = read_references(path, videos)
    assert [subject.name for subject in first.subjects] == ["ada", "ben"]
    assert first.subjects[0].faces == (tmp_path / "ada.png", tmp_path / "ada2.png")
    assert first.subjects[0].other_faces == (tmp_path / "ada3.png",)
    assert (first.prompt, first.labels) == ("A caption", {"system": "ours"})
    assert (second.clip_id, second.video) == ("b.mp4", videos / "b.mp4")
    assert (second.subjects[0].name, second.subjects[0].voices, second.subjects[0].text) == ("S1", (), None)


def test_a_clip_may_have_only_a_caption(tmp_path, videos):
    (clip,) = read_references(_csv(tmp_path, "video,prompt\na.mp4,A beach\n"), videos)
    assert (clip.subjects, clip.prompt) == ((), "A beach")


def test_what_no_row_names_is_listed(tmp_path, videos):
    clips = read_references(_csv(tmp_path, "video,face\na.mp4,x.png\n"), videos)
    assert [path.name for path in unlisted_videos(clips, videos)] == ["b.mp4", "c.MOV"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,picture\na.mp4,x.png\n", "unknown columns.*picture"),
        ("face\nx.png\n", "no column `video`"),
        ("video,face\n,x.png\n", "line 2.*`video` is empty"),
        ("video,subject\na.mp4,ada\na.mp4,ada\n", "different names"),
        ("video;face\na.mp4;x.png\n", "unknown columns.*separated by commas"),
        ("video,text\na.mp4,red, blue\n", "line 2: more cells than columns.*' blue'.*double quotes"),
        ("video,face\n", "`references`.*has none"),
        ("video,subject,prompt\na.mp4,ada,one\na.mp4,ben,two\n", "2 different prompts"),
    ],
)
def test_wrong_rows_are_named(tmp_path, videos, text, message):
    with pytest.raises(ValueError, match=message):
        read_references(_csv(tmp_path, text), videos)


def test_text_that_is_not_utf_8_is_named(tmp_path, videos):
    path = tmp_path / "references.csv"
    path.write_bytes("video,subject\na.mp4,J\u00fcrgen\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"`references`.*UTF-8.*references\.csv"):
        read_references(path, videos)


def test_quoted_text_may_have_commas_and_lines(tmp_path, videos):
    (clip,) = read_references(_csv(tmp_path, 'video,text\na.mp4,"red, and\nblue"\n'), videos)
    assert clip.subjects[0].text == "red, and\nblue"


def test_references_that_are_not_there_are_listed(tmp_path, videos):
    (tmp_path / "here.png").write_bytes(b"")
    clips = read_references(_csv(tmp_path, "video,face,voice\na.mp4,here.png;gone.png,none.wav\n"), videos)
    assert [path.name for path in missing_files(clips)] == ["gone.png", "none.wav"]


def test_missing_files_are_named(tmp_path, videos):
    with pytest.raises(FileNotFoundError, match="`references`"):
        read_references(tmp_path / "none.csv", videos)
    with pytest.raises(FileNotFoundError, match="`videos`"):
        read_references(_csv(tmp_path, "video\n"), tmp_path / "none")
