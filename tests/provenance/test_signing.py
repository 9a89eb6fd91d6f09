"""Written, read back, tampered with, unsigned, signed with a key of one's own."""

import av
import pytest

from iap_pipelines.media import export_to_av, read_video
from iap_pipelines.provenance import Provenance, ProvenanceError, SigningKey, read_provenance
from iap_pipelines.version import __version__
from tests.provenance.conftest import PROVENANCE
from tests.provenance.credentials import KEY_MAKERS, issue


def boxes(data: bytes) -> dict[bytes, tuple[int, int]]:
    """Start and end of the top-level boxes of an mp4 file, by type."""
    found, start = {}, 0
    while start < len(data):
        size = int.from_bytes(data[start : start + 4], "big")
        found[data[start + 4 : start + 8]] = (start, start + size)
        start += size
    return found


def test_what_is_said_comes_back(write):
    report = read_provenance(write())
    assert report.state == "intact" and not report.problems
    assert report.is_ai_generated
    assert report.provenance == PROVENANCE
    assert report.software == f"iap-pipelines {__version__}"


def test_pictures_and_sound_are_those_of_the_unsigned_file(write):
    signed, plain = write("signed.mp4"), write("plain.mp4", "plain")
    (video, audio), (plain_video, plain_audio) = read_video(signed), read_video(plain)
    assert video.frames.equal(plain_video.frames) and audio.samples.equal(plain_audio.samples)
    signed_bytes, plain_bytes = signed.read_bytes(), plain.read_bytes()
    for box in (b"ftyp", b"mdat"):
        first, second = boxes(signed_bytes)[box], boxes(plain_bytes)[box]
        assert signed_bytes[slice(*first)] == plain_bytes[slice(*second)]
    assert list(boxes(signed_bytes))[:3] == [b"ftyp", b"uuid", b"moov"]  # the index stays in front of the pictures


def test_two_signatures_differ_in_the_manifest_alone(write):
    first, second = (write(f"{name}.mp4").read_bytes() for name in "ab")
    assert first != second
    start, end = boxes(first)[b"uuid"]
    assert (start, end) == boxes(second)[b"uuid"]
    assert first[:start] + first[end:] == second[:start] + second[end:]


@pytest.mark.parametrize("box", [b"uuid", b"moov", b"mdat"])
@pytest.mark.parametrize("place", [0.5, 1.0])
def test_a_changed_byte_is_found(write, box, place):
    path = write()
    data = bytearray(path.read_bytes())
    start, end = boxes(bytes(data))[box]
    data[min(start + 8 + int(place * (end - start - 8)), end - 1)] ^= 1
    path.write_bytes(data)
    report = read_provenance(path)
    assert report.state in (["edited", "invalid"] if box == b"uuid" else ["edited"])
    assert report.problems
    assert "EDITED" in report.render() or "INVALID" in report.render()


def test_an_appended_box_is_found(write):
    path = write()
    path.write_bytes(path.read_bytes() + b"\0\0\0\x0cmdat\0\0\0\0")
    assert read_provenance(path).state == "edited"


def test_encoding_again_loses_the_signature(write, tmp_path):
    again = tmp_path / "again.mp4"
    with av.open(str(write())) as source, av.open(str(again), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    report = read_provenance(again)
    assert report.state == "missing" and not report.is_ai_generated


@pytest.mark.parametrize("provenance", [None, "plain"])
def test_without_a_manifest(write, provenance):
    assert read_provenance(write(provenance=provenance)).state == "missing"


def test_off_means_the_bytes_of_write_video(write):
    assert write("a.mp4", None).read_bytes() == write("b.mp4", "plain").read_bytes()


def test_on_by_default_and_says_that_the_model_is_not_named(content, tmp_path, caplog):
    path = export_to_av(*content, tmp_path / "clip.mp4", frame_rate=12.5, sampling_rate=16_000)
    report = read_provenance(path)
    assert report.state == "intact" and report.is_ai_generated and report.provenance == Provenance()
    assert "which model" in caplog.text


@pytest.mark.parametrize("algorithm", KEY_MAKERS)
def test_a_key_of_ones_own(write, tmp_path, algorithm):
    files = issue(tmp_path / algorithm, algorithm)
    key = SigningKey.from_files(files.certificates, files.private_key)
    assert key.algorithm == algorithm
    path = write(signing_key=key)
    unknown, trusted = read_provenance(path), read_provenance(path, trust_anchors=files.root)
    assert (unknown.state, unknown.is_trusted) == ("intact", False)
    assert (trusted.state, trusted.is_trusted) == ("intact", True)
    assert trusted.signer == "Example Studio" and not trusted.is_development_key
    other = issue(tmp_path / "other").root
    assert not read_provenance(path, trust_anchors=other).is_trusted


def test_the_environment_names_the_key(write, credentials, monkeypatch):
    monkeypatch.setenv("IAP_SIGNING_CERTIFICATES", str(credentials.certificates))
    with pytest.raises(ProvenanceError, match="IAP_SIGNING_KEY"):
        write()
    monkeypatch.setenv("IAP_SIGNING_KEY", str(credentials.private_key))
    assert read_provenance(write()).signer == "Example Studio"


def test_a_certificate_that_c2pa_refuses_leaves_no_file(write, credentials, tmp_path):
    key = SigningKey.from_files(credentials.certificates, credentials.private_key)
    damaged = SigningKey(credentials.root.read_text(), key.private_key, key.algorithm)  # an authority may not sign
    with pytest.raises(ProvenanceError, match="emailProtection"):
        write(signing_key=damaged)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_holds_no_manifest(tmp_path):
    for name, content in {"text.mp4": b"not a clip", "empty.mp4": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ProvenanceError, match=name):
            read_provenance(tmp_path / name)
    with pytest.raises(ProvenanceError, match="none.mp4"):
        read_provenance(tmp_path / "none.mp4")


@pytest.mark.parametrize("text", [None, "", "hello", "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"])
def test_trust_anchors_that_cannot_be_read(write, tmp_path, text):
    """Which says nothing about the clip."""
    anchors = tmp_path / "anchors.pem"
    if text is not None:
        anchors.write_text(text)
    with pytest.raises(ProvenanceError, match="`trust_anchors` .* must hold certificates in PEM format"):
        read_provenance(write(), trust_anchors=anchors)


def test_the_report_says_it_in_words(write):
    path = write()
    text = read_provenance(path).render()
    for words in ("intact", "generated by a trained model", "org/iap", "<S1> face", "b" * 64, "development key"):
        assert words in text
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert "EDITED" in read_provenance(path).render()
