"""Guidance is arithmetic: checked by hand, and held to what it promises about branches."""

import pytest
import torch

from iap_pipelines.pipelines.guidance import (
    CONDITIONAL,
    UNCONDITIONAL,
    WITHOUT_IDENTITY,
    GuidanceSettings,
    IdentityKey,
    apply_guidance,
    without_subject,
)


ONES = [[1.0, 1.0]]
OFF = {"guidance_scale": 1.0, "audio_guidance_scale": 1.0}


def branch_names(settings, face_scales=ONES, voice_scales=ONES):
    return [branch.name for branch in settings.plan(face_scales, voice_scales).branches]


def draw(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_one_branch_is_classifier_free_guidance():
    conditional, unconditional = draw(0, 2, 3, 4), draw(1, 2, 3, 4)
    guided = apply_guidance(
        {CONDITIONAL: conditional, UNCONDITIONAL: unconditional}, {UNCONDITIONAL: torch.tensor([4.0, 1.0])}
    )
    torch.testing.assert_close(guided[0], unconditional[0] + 4 * (conditional[0] - unconditional[0]))
    assert torch.equal(guided[1], conditional[1])


def test_branches_add_up():
    predictions = {CONDITIONAL: torch.tensor([1.0]), UNCONDITIONAL: torch.tensor([0.0]), "other": torch.tensor([3.0])}
    guided = apply_guidance(predictions, {UNCONDITIONAL: torch.tensor([3.0]), "other": torch.tensor([1.5])})
    # 1 + 2 * (1 - 0) + 0.5 * (1 - 3)
    assert guided.tolist() == [2.0]


def test_no_scales_no_change():
    prediction = draw(0, 2, 3)
    assert apply_guidance({CONDITIONAL: prediction}, {}) is prediction


def test_the_type_of_the_prediction_stays():
    predictions = {name: draw(i, 1, 3).bfloat16() for i, name in enumerate((CONDITIONAL, UNCONDITIONAL))}
    assert apply_guidance(predictions, {UNCONDITIONAL: torch.tensor([2.0])}).dtype == torch.bfloat16


def test_neutral_scales_need_the_conditional_branch_only():
    assert branch_names(GuidanceSettings(**OFF)) == [CONDITIONAL]
    assert not GuidanceSettings(**OFF).plan(ONES, ONES).uses_negative_prompt


@pytest.mark.parametrize("name", ["guidance_scale", "audio_guidance_scale"])
def test_either_text_scale_needs_the_negative_prompts(name):
    settings = GuidanceSettings(**(OFF | {name: 2.0}))
    assert branch_names(settings) == [CONDITIONAL, UNCONDITIONAL]
    assert settings.plan(ONES, ONES).uses_negative_prompt


@pytest.mark.parametrize("name", ["face_guidance_scale", "voice_guidance_scale"])
def test_either_identity_scale_needs_nobody(name):
    settings = GuidanceSettings(**OFF, **{name: 2.0})
    assert branch_names(settings) == [CONDITIONAL, WITHOUT_IDENTITY]


def test_a_branch_per_subject_that_is_scaled_in_any_clip():
    plan = GuidanceSettings(**OFF).plan([[1.0, 2.0], [1.0]], [[1.0, 1.0], [1.0]])
    assert [branch.name for branch in plan.branches] == [CONDITIONAL, without_subject(1)]
    assert plan.video_scales[without_subject(1)].tolist() == [2.0, 1.0]
    assert plan.branches[1].identity == IdentityKey(frozenset({1}), frozenset({1}))


def test_native_text_guidance_shares_the_references_unless_layers_are_skipped():
    plain, skipping = (GuidanceSettings(skip_guidance_layers=layers).plan(ONES, ONES) for layers in ((), (1,)))
    assert plain.branches[0].identity == plain.branches[1].identity == IdentityKey()
    assert skipping.branches[1].identity == IdentityKey(skip_layers=(1,))


def test_official_text_guidance_drops_every_voice_and_no_face():
    branch = GuidanceSettings(compat="official").plan(ONES, ONES).branches[1]
    assert branch.identity.dropped_voices == {0, 1} and not branch.identity.dropped_faces
    assert branch_names(GuidanceSettings(guidance_scale=1.0, compat="official")) == [CONDITIONAL]


def test_layers_are_a_set():
    settings = GuidanceSettings(skip_guidance_layers=[2, 1, 2])
    assert settings.skip_guidance_layers == (1, 2) and settings == GuidanceSettings(skip_guidance_layers=(1, 2))
