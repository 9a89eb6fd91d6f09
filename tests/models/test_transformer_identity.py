"""What identity tokens see, where they stand, and that their constants can be kept."""

import pytest
import torch

from iap_pipelines.models.transformer_iap import IAPIdentityInputs, IAPTransformer3DModel, Towers


def outputs(model, inputs, **kwargs):
    with torch.no_grad():
        return model(**inputs, **kwargs, return_dict=False)


def identity_states(model, inputs, identity):
    """Identity tokens after the last layer but one, as `forward` moves them along with the target."""
    seen = []
    hook = model.blocks[-1].register_forward_pre_hook(lambda _, args: seen.append(args[2]))
    outputs(model, inputs, identity=identity)
    hook.remove()
    return tuple(tokens.hidden_states for tokens in seen[0])


def assert_same(first, second, **tolerance):
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


def assert_differs(first, second, at_least=1e-4):
    for one, other in zip(first, second, strict=True):
        assert (one - other).abs().max() > at_least


def equal(first, second):
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def assert_loaded_exactly(model, loaded):
    own, read = ({k: v for k, v in one.config.items() if not k.startswith("_")} for one in (model, loaded))
    assert {**own, "patch_size": list(own["patch_size"])} == {**read, "patch_size": list(read["patch_size"])}
    expected, found = model.state_dict(), loaded.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.parametrize("changed", ["hidden_states", "audio_hidden_states", "timestep", "encoder_hidden_states"])
def test_identity_tokens_ignore_target_time_and_caption(make_transformer, make_inputs, two_people, changed):
    model, inputs = make_transformer(), make_inputs()
    before = identity_states(model, inputs, two_people)
    after = identity_states(model, {**inputs, changed: inputs[changed] * 0.5 + 1}, two_people)
    assert equal(before, after)


def test_every_tower_reads_faces_and_voices(make_transformer, make_inputs, two_people):
    model, inputs = make_transformer(), make_inputs()
    nobody = outputs(model, inputs)
    assert_differs(outputs(model, inputs, identity=two_people), nobody)
    # One reference reaches the other tower through the attention between them.
    assert_differs(outputs(model, inputs, identity=IAPIdentityInputs(two_people.face_latents)), nobody)
    assert_differs(outputs(model, inputs, identity=IAPIdentityInputs(voice_latents=two_people.voice_latents)), nobody)


@pytest.mark.parametrize("skip_layers", [(), (1,), (0, 2)])
@pytest.mark.parametrize("extended", [False, True])
def test_memory_equals_recomputation(
    make_transformer, make_inputs, extended_config, two_people, skip_layers, extended
):
    model = make_transformer(**(extended_config if extended else {}))
    inputs = make_inputs()
    expected = outputs(model, inputs, identity=two_people, skip_layers=skip_layers)
    with torch.no_grad():
        memory = model.encode_identity(two_people, num_frames=3, num_audio_latents=8, skip_layers=skip_layers)
        caption = model.encode_caption(inputs.pop("encoder_hidden_states"))
    remembered = outputs(model, inputs, identity_memory=memory, caption_memory=caption, skip_layers=skip_layers)
    assert equal(expected, remembered)
    assert [layer is None for layer in memory.layers] == [index in skip_layers for index in range(3)]


def test_memory_serves_every_step(make_transformer, make_inputs, two_people):
    model = make_transformer()
    with torch.no_grad():
        memory = model.encode_identity(two_people, num_frames=3, num_audio_latents=8)
    for seed in range(3):
        inputs = make_inputs(seed=seed)
        expected = outputs(model, inputs, identity=two_people)
        assert equal(expected, outputs(model, inputs, identity_memory=memory))


def test_memory_of_other_skipped_layers_is_refused(make_transformer, make_inputs, two_people):
    model = make_transformer()
    with torch.no_grad():
        memory = model.encode_identity(two_people, num_frames=3, num_audio_latents=8, skip_layers=(1,))
    with pytest.raises(ValueError, match="`skip_layers`"):
        outputs(model, make_inputs(), identity_memory=memory)
    with pytest.raises(ValueError, match="`skip_layers`"):
        outputs(model, make_inputs(), identity_memory=memory, skip_layers=(2,))


@pytest.mark.parametrize("skip_layers", [(3,), (-1,)])
def test_layers_that_do_not_exist_are_refused(make_transformer, make_inputs, two_people, skip_layers):
    model = make_transformer()
    with pytest.raises(ValueError, match="`skip_layers`"):
        outputs(model, make_inputs(), skip_layers=skip_layers)
    with pytest.raises(ValueError, match="`skip_layers`"):
        model.encode_identity(two_people, num_frames=3, num_audio_latents=8, skip_layers=skip_layers)


@pytest.mark.parametrize("extended", [False, True])
def test_a_batch_equals_its_samples(make_transformer, make_inputs, make_person, gather, extended_config, extended):
    """Any mix: several subjects, several views, voices of different lengths, face only, voice only, nobody."""
    model = make_transformer(**(extended_config if extended else {}))
    samples = [
        [make_person(0, num_views=2, voice_length=7), make_person(1, voice_length=4), make_person(2, voice_length=6)],
        [make_person(0, voice_length=0, seed=5), make_person(1, seed=6)],
        [make_person(0, num_views=0, voice_length=3)],
        [make_person(1, num_views=3, voice_length=0, seed=9)],
        [],
    ]
    inputs = make_inputs(batch_size=len(samples))
    together = outputs(model, inputs, identity=gather(samples))
    for row, people in enumerate(samples):
        own = {name: value[row : row + 1] for name, value in inputs.items()}
        alone = outputs(model, own, identity=gather([people]) if people else None)
        assert_same([output[row : row + 1] for output in together], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("extended", [False, True])
def test_padding_changes_nothing(make_transformer, make_inputs, make_person, gather, extended_config, extended):
    model = make_transformer(**(extended_config if extended else {}))
    inputs = make_inputs(batch_size=2)
    samples = [
        [make_person(0, 2), make_person(1, 1, voice_length=3), make_person(2)],
        [make_person(0, 1, voice_length=2)],
    ]
    expected = outputs(model, inputs, identity=gather(samples))
    assert_same(outputs(model, inputs, identity=gather(samples, padding=-50.0)), expected, atol=1e-5, rtol=1e-5)
    assert_same(outputs(model, inputs, identity=gather(samples, padding_first=True)), expected, atol=1e-5, rtol=1e-5)


def test_no_masks_equal_full_masks(make_transformer, make_inputs, two_people):
    model, inputs = make_transformer(), make_inputs()
    masked = two_people._replace(
        face_mask=torch.ones(1, 2, dtype=torch.bool), voice_mask=torch.ones(1, 2, 5, dtype=torch.bool)
    )
    assert_same(
        outputs(model, inputs, identity=masked), outputs(model, inputs, identity=two_people), atol=1e-5, rtol=1e-5
    )


def _encode(model, identity):
    with torch.no_grad():
        return model.encode_identity(identity, num_frames=3, num_audio_latents=8)


@pytest.mark.parametrize("identity_attention", ["all", "per_subject"])
def test_who_a_subject_depends_on(make_transformer, make_person, gather, identity_attention):
    """
    `per_subject`: on nobody else, so that people can be cached and composed. `all`: on everybody, from layer 1 on.
    """
    model = make_transformer(
        identity_attention=identity_attention, identity_position="after_clip", num_identity_slots=4
    )
    together = _encode(model, gather([[make_person(0), make_person(1)]]))
    alone = _encode(model, gather([[make_person(1)]]))
    for index, (both, one) in enumerate(zip(together.layers, alone.layers, strict=True)):
        for tower in Towers._fields:
            pair = [
                [value.chunk(2, dim=1)[1] for value in getattr(both.identity, tower)],
                getattr(one.identity, tower),
            ]
            if identity_attention == "per_subject" or index == 0:
                assert_same(*pair, atol=1e-5, rtol=1e-5)
            else:
                assert_differs(*pair)


@pytest.mark.parametrize("identity_attention", ["all", "per_subject"])
def test_order_of_entries_carries_no_meaning(make_transformer, make_inputs, make_person, gather, identity_attention):
    """With positions and slots that follow the subject's number, listing people in another order permutes nothing."""
    model = make_transformer(
        identity_attention=identity_attention, identity_position="after_clip", num_identity_slots=4
    )
    people = [make_person(0, 2), make_person(1), make_person(2)]
    expected = outputs(model, make_inputs(), identity=gather([people]))
    reversed_order = outputs(model, make_inputs(), identity=gather([people[::-1]]))
    assert_same(expected, reversed_order, atol=1e-5, rtol=1e-5)
    renamed = [person._replace(subject=2 - person.subject) for person in people]
    assert_differs(expected, outputs(model, make_inputs(), identity=gather([renamed])))


def test_the_slot_ties_face_and_voice(make_transformer, make_inputs, make_person, gather):
    """Slots alone tell who is who: positions are the published ones here, which follow the order of entries."""
    model = make_transformer(num_identity_slots=4)
    inputs, (ada, bob) = make_inputs(), (make_person(0), make_person(1))
    identity = gather([[ada, bob]])
    right = outputs(model, inputs, identity=identity)
    swapped_voices = identity._replace(voice_subjects=identity.voice_subjects.flip(1))
    assert_differs(right, outputs(model, inputs, identity=swapped_voices))
    swapped_faces = identity._replace(face_subjects=identity.face_subjects.flip(1))
    assert_differs(right, outputs(model, inputs, identity=swapped_faces))

    without_slots = make_transformer()
    one = outputs(without_slots, inputs, identity=identity)
    assert equal(one, outputs(without_slots, inputs, identity=swapped_voices))


def test_one_slot_vector_reaches_both_towers(make_transformer, make_inputs, two_people):
    model, inputs = make_transformer(num_identity_slots=4), make_inputs()
    model(**inputs, identity=two_people, return_dict=False)[0].sum().backward()
    face_only = model.identity_embedding.weight.grad.clone()
    assert face_only[:2].abs().sum() > 0 and face_only[2:].abs().sum() == 0
    before = [tokens.clone() for tokens in identity_states(model, inputs, two_people)]
    with torch.no_grad():
        model.identity_embedding.weight[1] += 1
    assert_differs(before, identity_states(model, inputs, two_people))


def recorded_positions(model, call):
    """Frame positions handed to the rotary embedding during `call`."""
    seen = []
    hook = model.rope.register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten()))
    with torch.no_grad():
        call()
    hook.remove()
    return seen


@pytest.mark.parametrize("num_frames", [1, 7, 31, 80])
@pytest.mark.parametrize("num_audio_latents", [1, 62, 157, 700])
def test_positions_after_the_clip_never_collide(make_transformer, make_person, gather, num_frames, num_audio_latents):
    model = make_transformer(identity_position="after_clip")
    people = [make_person(subject, num_views=3, voice_length=187) for subject in range(4)]
    identity = gather([people])
    faces, voices = recorded_positions(model, lambda: model.encode_identity(identity, num_frames, num_audio_latents))
    clip = torch.cat((torch.arange(num_frames), torch.arange(num_audio_latents) * model.config.audio_position_scale))
    for references in (faces, voices):
        assert references.unique().numel() == references.numel()
        assert references.min() > clip.max()
    # Subject k owns the same span in both towers, and nobody else stands in it.
    start = faces.min()
    span = model.config.identity_span
    assert torch.equal(((faces - start) // span).long(), torch.arange(4).repeat_interleave(3))
    assert torch.equal(((voices - start) // span).long(), torch.arange(4).repeat_interleave(187))


def test_published_positions(make_transformer, make_person, gather):
    model = make_transformer()
    people = [make_person(subject, voice_length=5) for subject in range(3)]
    for num_frames in (7, 31):
        identity = gather([people])
        faces, voices = recorded_positions(model, lambda: model.encode_identity(identity, num_frames, 8))  # noqa: B023
        assert faces.tolist() == [31, 32, 33]
        torch.testing.assert_close(voices, (630 + torch.arange(15)) * 0.19676)


def test_a_voice_longer_than_its_span_is_refused(make_transformer, make_person, gather):
    model = make_transformer(identity_position="after_clip", identity_span=4)
    _encode(model, gather([[make_person(0, voice_length=21)]]))  # the last one at 20 * 0.19676 < 4
    with pytest.raises(ValueError, match="`identity_span`"):
        _encode(model, gather([[make_person(0, voice_length=22)]]))


class TestRelease:
    @pytest.fixture(params=[("separate", "shared"), ("separate", "separate")], ids="-".join)
    def model(self, request, make_transformer, extended_config):
        weights = dict(zip(Towers._fields, request.param, strict=True))
        return make_transformer(**extended_config, identity_weights=weights)

    def test_memory_gives_the_same_outputs(self, model, make_inputs, two_people):
        expected = outputs(model, make_inputs(), identity=two_people)
        memory = _encode(model, two_people)
        before = model.num_parameters()
        model.release_identity_weights()
        assert equal(expected, outputs(model, make_inputs(), identity_memory=memory))
        assert model.num_parameters() < before
        assert equal(outputs(model, make_inputs()), outputs(model, make_inputs(), identity=None))

    def test_new_references_are_refused(self, model, make_inputs, two_people):
        model.release_identity_weights()
        with pytest.raises(ValueError, match="released"):
            outputs(model, make_inputs(), identity=two_people)
        with pytest.raises(ValueError, match="released"):
            _encode(model, two_people)

    def test_nothing_stays_that_only_identity_tokens_read(self, model):
        released = [name for name, kind in model.config.identity_weights.items() if kind == "separate"]
        model.release_identity_weights()
        names = [name for name, _ in model.named_parameters()]
        for tower in released:
            assert not any(
                name.startswith(f"{tower}_identity_proj") or f".{tower}.identity." in name for name in names
            )
        if len(released) == 2:
            assert not any("identity" in name for name in names)

    def test_slim_checkpoint(self, model, make_inputs, two_people, tmp_path):
        memory = _encode(model, two_people)
        model.save_pretrained(tmp_path / "full")
        model.release_identity_weights()
        expected = outputs(model, make_inputs(), identity_memory=memory)
        model.save_pretrained(tmp_path / "slim")
        full, slim = (
            sum(file.stat().st_size for file in (tmp_path / name).glob("*.safetensors")) for name in ("full", "slim")
        )
        assert slim < full
        loaded = IAPTransformer3DModel.from_pretrained(tmp_path / "slim")
        assert_loaded_exactly(model, loaded)
        assert_same(expected, outputs(loaded, make_inputs(), identity_memory=memory), atol=1e-5, rtol=1e-5)

    def test_twice_is_once(self, model):
        model.release_identity_weights()
        config = dict(model.config)
        model.release_identity_weights()
        assert dict(model.config) == config


def test_save_and_load(make_transformer, make_inputs, extended_config, two_people, tmp_path):
    model = make_transformer(**extended_config)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    loaded = IAPTransformer3DModel.from_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert_loaded_exactly(model, loaded)
    once, again = (
        outputs(one, make_inputs(), identity=two_people)
        for one in (loaded, IAPTransformer3DModel.from_pretrained(tmp_path))
    )
    assert equal(once, again)
    # Loaded tensors lie at other addresses, for which matmuls may round the last bit in another way.
    assert_same(once, outputs(model, make_inputs(), identity=two_people), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"identity_weights": {"video": "separate"}}, "identity_weights"),
        ({"identity_weights": {"video": "own", "audio": "shared"}}, "identity_weights"),
        ({"identity_attention": "some"}, "identity_attention"),
        ({"identity_position": "before"}, "identity_position"),
    ],
)
def test_wrong_configurations_are_refused(make_transformer, config, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        make_transformer(**config)


def test_wrong_calls_are_refused(make_transformer, make_inputs, two_people):
    model, inputs = make_transformer(), make_inputs()
    caption = model.encode_caption(inputs["encoder_hidden_states"])
    with pytest.raises(ValueError, match="`caption_memory`"):
        outputs(model, inputs, caption_memory=caption)
    with pytest.raises(ValueError, match="`identity_memory`"):
        outputs(model, inputs, identity=two_people, identity_memory=_encode(model, two_people))
    with pytest.raises(ValueError, match="`hidden_states`"):
        outputs(model, {**inputs, "hidden_states": None, "audio_hidden_states": None})


def test_single_towers(make_transformer, make_inputs, two_people):
    """A tower alone neither sees the other nor its references, and says so with `None`."""
    model, inputs = make_transformer(), make_inputs()
    video, nothing = outputs(model, {**inputs, "audio_hidden_states": None}, identity=two_people)
    assert nothing is None
    face_only = IAPIdentityInputs(two_people.face_latents)
    assert torch.equal(video, outputs(model, {**inputs, "audio_hidden_states": None}, identity=face_only)[0])
    nothing, audio = outputs(model, {**inputs, "hidden_states": None})
    assert nothing is None and audio.shape == inputs["audio_hidden_states"].shape
    assert_differs([video, audio], outputs(model, inputs))


def test_towers_may_be_at_different_times_and_read_different_captions(make_transformer, make_inputs):
    model, inputs = make_transformer(), make_inputs()
    expected = outputs(model, inputs)
    same = {"audio_timestep": inputs["timestep"], "audio_encoder_hidden_states": inputs["encoder_hidden_states"]}
    assert equal(expected, outputs(model, inputs, **same))
    for name, value in same.items():
        assert_differs(expected, outputs(model, inputs, **{name: value * 0.5}))
