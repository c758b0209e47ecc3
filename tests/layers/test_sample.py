"""The layers of one sample, LayerNorm, GroupNorm and RMSNorm: what is theirs alone."""

import numpy as np
import pytest
import torch
from torch import nn

import bnlab

SHAPED = pytest.mark.parametrize("name", ["LayerNorm", "RMSNorm"])


@pytest.mark.parametrize(
    ("name", "arguments"), [("LayerNorm", (6,)), ("RMSNorm", (6,)), ("GroupNorm", (3, 6))]
)
def test_modes_and_other_samples_make_no_difference(name, arguments):
    layer = getattr(bnlab, name)(*arguments)
    batch = torch.randn(4, 6, 6)
    assert torch.equal(layer.train()(batch), layer.eval()(batch))
    torch.testing.assert_close(layer(batch)[:1], layer(batch[:1]))
    assert list(layer.buffers()) == []


@SHAPED
@pytest.mark.parametrize(
    "shape", [6, (6,), [4, 6], torch.Size([4, 6]), np.int64(6), range(4, 7, 2)], ids=repr
)
def test_normalized_shape_is_a_number_or_a_sequence_of_them(name, shape):
    ours, theirs = (getattr(library, name)(shape) for library in (bnlab, nn))
    assert ours.normalized_shape == theirs.normalized_shape
    assert type(ours.normalized_shape) is tuple
    assert repr(ours) == repr(theirs)
    assert ours.weight.shape == theirs.weight.shape


@SHAPED
@pytest.mark.parametrize("shape", [6.0, "46", None, [4.0, 6], ("6",)], ids=repr)
def test_a_normalized_shape_of_no_whole_numbers_is_refused(name, shape):
    with pytest.raises(TypeError):
        getattr(nn, name)(shape)
    with pytest.raises(TypeError, match=r"must be a whole number.*input.shape\[1:\]"):
        getattr(bnlab, name)(shape)


@pytest.mark.parametrize(("groups", "channels"), [(3, 4), (8, 4), (0, 4), (-2, 4)])
def test_groups_that_do_not_divide_the_channels_are_refused(groups, channels):
    with pytest.raises(
        ValueError, match=r"must be divisible by num_groups.*one of 1, 2, 4"
    ) as raised:
        bnlab.GroupNorm(groups, channels)
    # torch divides by 0 there, and takes -2 until its first batch.
    if groups > 0:
        with pytest.raises(ValueError, match="must be divisible") as expected:
            nn.GroupNorm(groups, channels)
        assert str(raised.value).startswith(str(expected.value))


def test_one_group_is_layer_norm_and_a_group_a_channel_is_instance_norm():
    batch = torch.randn(4, 6, 5, 5)
    torch.testing.assert_close(bnlab.GroupNorm(1, 6)(batch), bnlab.LayerNorm((6, 5, 5))(batch))
    torch.testing.assert_close(bnlab.GroupNorm(6, 6)(batch), bnlab.InstanceNorm2d(6)(batch))


def test_groups_without_parameters_take_any_channels_that_they_divide():
    batch = torch.randn(2, 6, 5)
    ours, theirs = (library.GroupNorm(2, 4, affine=False) for library in (bnlab, nn))
    torch.testing.assert_close(ours(batch), theirs(batch))


def test_rms_norm_keeps_the_mean_and_has_no_bias():
    layer = bnlab.RMSNorm(6)
    assert not hasattr(layer, "bias")
    assert not hasattr(nn.RMSNorm(6), "bias")
    torch.testing.assert_close(layer(torch.full((2, 6), 3.0)), torch.ones(2, 6))


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str
)
@pytest.mark.parametrize("eps", [None, 1e-3, 0.0])
def test_rms_norm_without_eps_takes_torchs(dtype, eps):
    tiny = torch.tensor([[1e-4, -2e-4, 3e-4]], dtype=dtype)
    ours, theirs = (library.RMSNorm(3, eps=eps, dtype=dtype) for library in (bnlab, nn))
    torch.testing.assert_close(ours(tiny), theirs(tiny))
