"""The layers that may keep running statistics, BatchNorm and InstanceNorm, beside torch's."""

import copy
import warnings

import pytest
import torch
from torch import nn

import bnlab

NAMES = [f"{kind}Norm{d}d" for kind in ("Batch", "Instance") for d in (1, 2, 3)]
SHAPES = {"1d": (4, 3, 8), "2d": (4, 3, 4, 2), "3d": (4, 3, 2, 2, 2)}


def images(name, samples=4):
    return torch.randn(samples, *SHAPES[name[-2:]][1:]) * 3 + 1


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture(params=NAMES[:3])
def batch_norm(request):
    return request.param


@pytest.fixture(params=NAMES[3:])
def instance_norm(request):
    return request.param


def ours(name, **options):
    return getattr(bnlab, name)(3, **{"affine": True, "track_running_stats": True} | options)


def both(name, **options):
    options = {"affine": True, "track_running_stats": True} | options
    return [getattr(library, name)(3, **options) for library in (nn, bnlab)]


def test_reset_running_stats_keeps_the_parameters(name):
    layer = ours(name)
    nn.init.constant_(layer.weight, 5)
    layer(images(name))
    layer.reset_running_stats()
    assert torch.equal(layer.running_mean, torch.zeros(3))
    assert torch.equal(layer.running_var, torch.ones(3))
    assert layer.num_batches_tracked == 0
    assert torch.equal(layer.weight, torch.full((3,), 5.0))


def test_untracked_uses_the_inputs_statistics_in_eval_mode_too(name):
    layer = ours(name, track_running_stats=False)
    assert list(layer.buffers()) == []
    batch = images(name)
    assert torch.equal(layer.train()(batch), layer.eval()(batch))


def test_train_mode_moves_the_statistics_even_without_grad(name):
    layer = ours(name)
    with torch.no_grad():
        layer(images(name))
    assert not torch.equal(layer.running_mean, torch.zeros(3))
    assert not torch.equal(layer.running_var, torch.ones(3))


def test_eval_mode_leaves_the_statistics_and_treats_samples_alone(name):
    layer = ours(name).eval()
    batch = images(name)
    before = copy.deepcopy(layer.state_dict())
    torch.testing.assert_close(layer(batch)[:1], layer(batch[:1]))
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())


def test_statistics_stay_out_of_the_graph(name):
    layer = ours(name)
    layer(images(name).requires_grad_())
    assert not layer.running_mean.requires_grad
    assert not layer.running_var.requires_grad


def test_counts_the_batches_that_torch_counts(name):
    for samples in (4, 0):
        theirs, mine = both(name, affine=False)
        theirs(images(name, samples))
        mine(images(name, samples))
        assert mine.num_batches_tracked == theirs.num_batches_tracked == name.startswith("Batch")


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("training", [True, False])
def test_tracking_switched_off_later_does_what_torch_does(name, training, momentum):
    batch = images(name)
    theirs, mine = both(name, momentum=momentum)
    for layer in (theirs, mine):
        layer.train(training).track_running_stats = False
    torch.testing.assert_close(mine(batch), theirs(batch))
    torch.testing.assert_close(mine.state_dict(), theirs.state_dict())


def test_momentum_none_averages_all_batches(batch_norm):
    layer = ours(batch_norm, momentum=None).double()
    batches = [images(batch_norm).double() for _ in range(4)]
    for batch in batches:
        layer(batch)
    means = torch.stack([batch.transpose(0, 1).flatten(1).mean(1) for batch in batches])
    torch.testing.assert_close(layer.running_mean, means.mean(0))


@pytest.mark.parametrize("dimensions", range(7))
def test_another_number_of_dimensions_is_refused_in_torchs_words(name, dimensions):
    batch = torch.randn([3] * dimensions)
    theirs, mine = both(name)
    if dimensions in map(len, mine._shapes):
        assert mine(batch).shape == theirs(batch).shape
        return
    with pytest.raises(ValueError, match=r"expected .*D input \(got ") as expected:
        theirs(batch)
    with pytest.raises(ValueError, match=r"takes \(.*yours has shape") as error:
        mine(batch)
    assert str(error.value).startswith(str(expected.value))


def test_one_value_a_mean_is_refused_in_torchs_words(name):
    batch = images(name)[(slice(1), slice(None), *[slice(1)] * (images(name).dim() - 2))]
    theirs, mine = both(name)
    with pytest.raises(ValueError, match="Expected more than 1") as expected:
        theirs(batch)
    with pytest.raises(ValueError, match="Expected more than 1") as error:
        mine(batch)
    assert str(error.value).startswith(f"{expected.value}: ")
    torch.testing.assert_close(mine.eval()(batch), theirs.eval()(batch))


def test_version_1_dict_without_counter_loads(name):
    for layer in both(name):
        state = both(name)[0].state_dict()
        del state["num_batches_tracked"]
        state._metadata[""]["version"] = 1
        layer.num_batches_tracked.fill_(7)
        layer.load_state_dict(state, strict=True)
        assert layer.num_batches_tracked == 7


def test_version_2_dict_without_counter_is_refused(name):
    state = both(name)[0].state_dict()
    del state["num_batches_tracked"]
    for layer in both(name):
        with pytest.raises(RuntimeError, match="num_batches_tracked"):
            layer.load_state_dict(state, strict=True)


def test_version_1_dict_materialises_a_meta_layer(name):
    state = both(name)[0].state_dict()
    del state["num_batches_tracked"]
    state._metadata[""]["version"] = 1
    layer = ours(name, device="meta")
    layer.load_state_dict(state, strict=True, assign=True)
    assert layer.num_batches_tracked == 0


def test_statistics_saved_before_torch_0_4_are_refused_with_a_word(instance_norm):
    state = both(instance_norm)[0].state_dict()
    del state["num_batches_tracked"]
    state._metadata.clear()
    for strict in (True, False):
        for layer in both(instance_norm, track_running_stats=False):
            with pytest.raises(RuntimeError, match="Unexpected running stats buffer") as error:
                layer.load_state_dict(state, strict=strict)
            assert "track_running_stats=True" in str(error.value)
            # Said once, and not again as unexpected keys.
            assert "Unexpected key" not in str(error.value)
    for layer in both(instance_norm):
        layer.load_state_dict(state, strict=True)


def test_a_single_sample_needs_no_batch_dimension(instance_norm):
    for options in ({}, {"affine": False, "track_running_stats": False}):
        layer, twin = ours(instance_norm, **options), ours(instance_norm, **options)
        image = images(instance_norm)[0]
        assert torch.equal(layer(image), twin(image.unsqueeze(0)).squeeze(0))
        torch.testing.assert_close(layer.state_dict(), twin.state_dict())


@pytest.mark.parametrize("samples", [(), (2,)])
def test_another_channel_count_without_parameters_warns(instance_norm, samples):
    batch = torch.randn(*samples, 5, *images(instance_norm).shape[2:])
    options = {"affine": False, "track_running_stats": False}
    raised = []
    for layer in both(instance_norm, **options):
        with pytest.warns(UserWarning, match="does not match num_features") as caught:
            output = layer(batch)
        raised.append(str(caught[0].message))
    clause = raised[0].split(".")[0]
    assert raised[1].startswith(f"{clause}. ")
    assert "num_features=5" in raised[1]
    with warnings.catch_warnings(action="error"):
        quiet = getattr(bnlab, instance_norm)(5)(batch)
    assert torch.equal(output, quiet)


def test_another_channel_count_with_statistics_is_an_error(instance_norm):
    batch = torch.randn(2, 5, *images(instance_norm).shape[2:])
    for training in (True, False):
        for layer in both(instance_norm, affine=False):
            with (
                pytest.warns(UserWarning, match="does not match num_features"),
                pytest.raises(RuntimeError, match="running_mean should contain"),
            ):
                layer.train(training)(batch)
