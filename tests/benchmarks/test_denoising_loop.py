import pytest
import torch

from benchmarks import denoising_loop
from benchmarks.measuring import count_flops
from benchmarks.published_way import PublishedWayTransformer
from benchmarks.setting import generate_latents, transformer_pipeline


def _pipelines(setting):
    published = transformer_pipeline(setting.transformer(PublishedWayTransformer))
    return transformer_pipeline(setting.transformer()), published


def test_the_published_way_gives_the_same_latents_for_more_operations(tiny_setting):
    ours, published = _pipelines(tiny_setting)
    (our_latents, ours_flops), (published_latents, published_flops) = (
        count_flops(lambda pipe=pipe: generate_latents(pipe, tiny_setting)) for pipe in (ours, published)
    )
    denoising_loop.check_equal(our_latents, published_latents)
    assert published_flops.linear > ours_flops.linear
    assert published_flops.attention > ours_flops.attention


def test_the_published_way_really_reads_the_references(tiny_setting):
    _, published = _pipelines(tiny_setting)
    before = generate_latents(published, tiny_setting)
    published.transformer.encode_identity = lambda identity, *_, **__: PublishedWayTransformer.encode_identity(
        published.transformer, identity._replace(face_latents=identity.face_latents + 1)
    )
    after = generate_latents(published, tiny_setting)
    assert not torch.equal(before[0], after[0])


def test_different_latents_are_noticed(tiny_setting):
    latents = generate_latents(_pipelines(tiny_setting)[0], tiny_setting)
    with pytest.raises(AssertionError, match="differ by"):
        denoising_loop.check_equal(latents, (latents[0] + 1e-3, latents[1]))


def test_the_table_has_a_row_for_each_way(tiny_setting, monkeypatch):
    monkeypatch.setattr(denoising_loop, "PEAK_MATMUL_SIDE", 8)
    monkeypatch.setattr(denoising_loop, "peak_matmul", lambda: lambda: torch.ones(8, 8) @ torch.ones(8, 8))
    note, table = denoising_loop.compare(tiny_setting, repeats=1).split("\n\n")
    assert "interleaved" in note
    rows = table.splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == ["ours", "published way", "two Wan models (floor)"]
    assert rows[0].split("|")[5].strip() == "1.00"
