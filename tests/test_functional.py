"""The arithmetic: properties that hold for every batch, then torch's answers at the edges."""

import inspect
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bnlab import functional

channels = st.integers(1, 4)
spatial = st.lists(st.integers(1, 3), max_size=3)


@st.composite
def batches(draw, minimum_spread=0.1):
    """Float64 batches (N, C, *) with every channel of its own mean and spread."""
    shape = [draw(st.integers(3, 6)), draw(channels), *draw(spatial)]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    mean, spread = (
        torch.tensor(
            draw(st.lists(st.floats(low, high), min_size=shape[1], max_size=shape[1])),
            dtype=torch.float64,
        ).view(1, -1, *[1] * (len(shape) - 2))
        for low, high in ((-100, 100), (minimum_spread, 10))
    )
    return values * spread + mean


def per_channel(batch):
    return batch.transpose(0, 1).flatten(1)


def train(batch, **options):
    return functional.batch_norm(batch, None, None, training=True, **options)


@given(batches(), st.floats(1e-8, 1.0))
@settings(deadline=None, max_examples=50)
def test_output_has_mean_0_and_variance_var_over_var_plus_eps(batch, eps):
    output = per_channel(train(batch, eps=eps))
    var = per_channel(batch).var(1, correction=0)
    torch.testing.assert_close(output.mean(1), torch.zeros_like(var), rtol=0, atol=1e-9)
    torch.testing.assert_close(output.var(1, correction=0), var / (var + eps))


@given(batches(), st.floats(-1e3, 1e3), st.floats(0.01, 100))
@settings(deadline=None, max_examples=50)
def test_shift_and_scale_of_the_input_are_forgotten(batch, shift, scale):
    torch.testing.assert_close(train(batch + shift), train(batch), rtol=1e-7, atol=1e-7)
    # Exactly so only where eps is scaled too: it is compared with the variance.
    scaled = train(batch * scale, eps=1e-5 * scale**2)
    torch.testing.assert_close(scaled, train(batch), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(train(-batch), -train(batch))


@given(batches(), st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_gradient_is_orthogonal_to_one_and_to_the_normalised_input(batch, seed):
    batch = batch.requires_grad_()
    mean, var = functional.moments(batch, [d for d in range(batch.dim()) if d != 1])
    output = functional.normalize(batch, mean, var, eps=0.0)
    generator = torch.Generator().manual_seed(seed)
    upstream = torch.randn(batch.shape, generator=generator, dtype=batch.dtype)
    (gradient,) = torch.autograd.grad(output, batch, upstream)
    # Relative to what is added up: the gradient is the larger, the smaller the spread.
    size = per_channel(upstream).abs().sum(1) / var.detach().flatten().sqrt()
    gradient, hat = per_channel(gradient), per_channel(output.detach())
    zero = torch.zeros_like(size)
    torch.testing.assert_close(gradient.sum(1) / size, zero, rtol=0, atol=1e-7)
    torch.testing.assert_close((gradient * hat).sum(1) / size, zero, rtol=0, atol=1e-7)


@given(batches())
@settings(deadline=None, max_examples=50)
def test_moments_are_the_mean_and_the_biased_variance(batch):
    mean, var = functional.moments(batch, [d for d in range(batch.dim()) if d != 1])
    assert mean.shape == var.shape == (1, batch.shape[1], *[1] * (batch.dim() - 2))
    torch.testing.assert_close(mean.flatten(), per_channel(batch).mean(1))
    torch.testing.assert_close(var.flatten(), per_channel(batch).var(1, correction=0))


@given(st.floats(-10, 10), st.lists(st.floats(-10, 10), min_size=1, max_size=20), st.floats(0, 1))
@settings(deadline=None, max_examples=100)
def test_update_running_is_the_closed_form(start, values, momentum):
    running = torch.tensor([start], dtype=torch.float64)
    for value in values:
        functional.update_running(running, torch.tensor([value], dtype=torch.float64), momentum)
    n = len(values)
    expected = (1 - momentum) ** n * start + sum(
        momentum * (1 - momentum) ** (n - 1 - i) * value for i, value in enumerate(values)
    )
    assert math.isclose(running.item(), expected, rel_tol=1e-9, abs_tol=1e-9)


@given(st.integers(2, 50), st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_stored_variance_is_unbiased(n, seed):
    batch = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)).double()
    mean, var = torch.zeros(3).double(), torch.ones(3).double()
    functional.batch_norm(batch, mean, var, training=True, momentum=1.0)
    torch.testing.assert_close(mean, batch.mean(0))
    torch.testing.assert_close(var, batch.var(0))


@pytest.mark.parametrize("mean", [1.0, 1e2, 1e4])
def test_two_passes_hold_in_float32_where_the_shortcut_breaks(mean):
    batch = torch.randn(256, 8, generator=torch.Generator().manual_seed(0)) + mean
    _, exact = functional.moments(batch.double(), 0)
    _, var = functional.moments(batch, 0)
    torch.testing.assert_close(var.double(), exact, rtol=1e-5, atol=0)
    torch.testing.assert_close(train(batch).double(), train(batch.double()), rtol=0, atol=2e-3)
    shortcut = (batch.square().mean(0) - batch.mean(0).square()).double()
    assert ((shortcut - exact[0]).abs().max() > 0.1) == (mean == 1e4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_reduces_in_float32(dtype):
    batch = (torch.randn(4096, 2, generator=torch.Generator().manual_seed(0)) + 100).to(dtype)
    mean, var = functional.moments(batch, 0)
    assert mean.dtype == var.dtype == torch.float32
    torch.testing.assert_close(var[0], batch.float().var(0, correction=0), rtol=1e-5, atol=0)
    assert train(batch).dtype == dtype


def test_layer_norm_is_the_same_two_functions_over_other_dimensions():
    batch, weight, bias = torch.randn(4, 6), torch.rand(6), torch.rand(6)
    ours = functional.normalize(batch, *functional.moments(batch, -1), weight, bias)
    torch.testing.assert_close(ours, nn.functional.layer_norm(batch, (6,), weight, bias))


def test_signature_is_torchs():
    def arguments(function):
        return [
            (p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()
        ]

    assert arguments(functional.batch_norm) == arguments(nn.functional.batch_norm)


def test_uses_no_torch_kernel_for_normalising():
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        train(torch.randn(4, 3).requires_grad_()).sum().backward()
        nn.functional.batch_norm(torch.randn(4, 3), None, None, training=True)
    norms = [event for event in profile.events() if "norm" in event.name.lower()]
    # The reference run at the end is seen, so a kernel of ours would have been seen too.
    assert {event.name for event in norms} >= {"aten::batch_norm"}
    assert sum(event.name == "aten::native_batch_norm" for event in norms) == 1


ZEROS, ONES, IMAGES = torch.zeros(3), torch.ones(3), torch.randn(4, 3, 2, 2)
EDGES = {
    "no statistics in eval mode": ((IMAGES, None, None), {}, RuntimeError),
    "mean without variance, eval": ((IMAGES, ZEROS, None), {}, RuntimeError),
    "variance without mean, eval": ((IMAGES, None, ONES), {}, RuntimeError),
    "mean without variance, train": ((IMAGES, ZEROS, None), {"training": True}, ValueError),
    "variance without mean, train": ((IMAGES, None, ONES), {"training": True}, ValueError),
    "(1, C)": ((torch.randn(1, 3), None, None), {"training": True}, ValueError),
    "(1, C, 1, 1)": ((torch.randn(1, 3, 1, 1), ZEROS, ONES), {"training": True}, ValueError),
    "eps 0, train": ((IMAGES, None, None), {"training": True, "eps": 0.0}, ValueError),
    "eps below 0, eval": ((IMAGES, ZEROS, ONES), {"eps": -1.0}, ValueError),
    "another channel count": ((IMAGES, torch.zeros(4), torch.ones(4)), {}, RuntimeError),
    "another weight count": ((IMAGES, ZEROS, ONES, torch.ones(1)), {}, RuntimeError),
    "another bias count": ((IMAGES, ZEROS, ONES, None, torch.ones(4)), {}, RuntimeError),
    "integer input": ((IMAGES.long(), ZEROS, ONES), {}, NotImplementedError),
    "boolean input": ((IMAGES > 0, None, None), {"training": True}, NotImplementedError),
    "complex input": ((IMAGES.to(torch.complex64), ZEROS, ONES), {}, NotImplementedError),
    "float64 input, float32 state": ((IMAGES.double(), ZEROS, ONES), {}, RuntimeError),
    "float32 input, float64 state": ((IMAGES, ZEROS.double(), ONES.double()), {}, RuntimeError),
    "float16 input, bfloat16 state": (
        (IMAGES.half(), ZEROS.bfloat16(), ONES.bfloat16()),
        {},
        RuntimeError,
    ),
}


@pytest.mark.parametrize(("arguments", "options", "error"), EDGES.values(), ids=EDGES.keys())
def test_raises_what_torch_raises(arguments, options, error):
    for function in (nn.functional.batch_norm, functional.batch_norm):
        with pytest.raises(error) as raised:
            function(*arguments, **options)
        assert raised.type is error
    # Ours also says how to mend it, behind a colon.
    assert ": " in str(raised.value)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 5), (0, 3, 2, 2), (2, 3, 0, 2)])
def test_an_empty_batch_moves_nothing(shape, training):
    for function in (nn.functional.batch_norm, functional.batch_norm):
        mean, var = torch.zeros(3), torch.ones(3)
        assert function(torch.empty(shape), mean, var, training=training).shape == shape
        assert torch.equal(mean, ZEROS)
        assert torch.equal(var, ONES)


def test_no_channel_dimension_is_explained():
    with pytest.raises(ValueError, match="unsqueeze"):
        train(torch.randn(3))


def test_a_failed_call_leaves_the_running_statistics():
    mean, var = torch.zeros(3), torch.ones(3)
    with pytest.raises(RuntimeError, match="bias should contain 3 elements"):
        functional.batch_norm(IMAGES, mean, var, None, torch.ones(4), training=True)
    assert torch.equal(mean, ZEROS)
    assert torch.equal(var, ONES)


def test_a_graph_of_eval_mode_outlives_an_update():
    mean, var = torch.zeros(3), torch.ones(3)
    images = IMAGES.clone().requires_grad_()
    output = functional.batch_norm(images, mean, var, ONES)
    functional.batch_norm(IMAGES, mean, var, training=True)
    output.sum().backward()
    torch.testing.assert_close(images.grad, torch.full_like(IMAGES, (1 + 1e-5) ** -0.5))


@pytest.mark.parametrize("training", [True, False])
def test_layout_of_a_strided_view_is_torchs(training):
    for view in (
        IMAGES.to(memory_format=torch.channels_last),
        IMAGES.to(memory_format=torch.channels_last)[::2],
        IMAGES[..., ::2],
        IMAGES.permute(0, 1, 3, 2),
        torch.randn(4, 3, 1, 1).expand(4, 3, 2, 2),
        torch.randn(4, 5, 3).transpose(1, 2),
        torch.randn(3, 4).t(),
    ):
        state = (torch.zeros(view.shape[1]), torch.ones(view.shape[1]))
        ours = functional.batch_norm(view, *state, training=training)
        assert ours.stride() == nn.functional.batch_norm(view, *state, training=training).stride()
