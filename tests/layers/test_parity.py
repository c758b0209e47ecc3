"""Every layer beside torch's: the same outputs, gradients, second derivatives and statistics."""

import itertools
from dataclasses import dataclass

import pytest
import torch
from torch import nn

import bnlab

# As a share of the largest reference value. Half precision differs by torch's own rounding, which
# adds up over samples in instance normalisation; ours is held to float64 further down.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 5e-2, torch.float16: 5e-3}
HALVES = pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"]
)
DTYPES = pytest.mark.parametrize("dtype", TOLERANCES, ids=lambda dtype: str(dtype)[len("torch.") :])


@dataclass(frozen=True)
class Case:
    """A layer, its first arguments, and the shape and memory format of its input."""

    name: str
    arguments: tuple[object, ...]
    shape: tuple[int, ...]
    layout: torch.memory_format = torch.contiguous_format

    def __str__(self) -> str:
        arguments = ",".join(str(argument).replace(" ", "") for argument in self.arguments)
        shape = "x".join(map(str, self.shape))
        last = "" if self.layout == torch.contiguous_format else "-channels_last"
        return f"{self.name}({arguments})-{shape}{last}"

    @property
    def options(self) -> list[dict[str, bool]]:
        """Every choice of what to learn and what to track."""
        if self.name == "RMSNorm":
            return [{"elementwise_affine": affine} for affine in (True, False)]
        affine = "elementwise_affine" if self.name == "LayerNorm" else "affine"
        learned = [{affine: True}, {affine: True, "bias": False}, {affine: False}]
        if self.name in ("LayerNorm", "GroupNorm"):
            return learned
        return [
            {**chosen, "track_running_stats": track}
            for chosen, track in itertools.product(learned, (True, False))
        ]

    @property
    def modes(self) -> tuple[bool, ...]:
        """Train and eval mode; for the layers that know no difference, one."""
        return (True, False) if self.name.startswith(("Batch", "Instance")) else (True,)

    def pair(self, dtype=torch.float32, **options):
        """Ours and torch's with one random state."""
        ours, theirs = (
            getattr(library, self.name)(*self.arguments, dtype=dtype, **options)
            for library in (bnlab, nn)
        )
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name, tensor in theirs.state_dict().items():
                if name != "num_batches_tracked":
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        ours.load_state_dict(theirs.state_dict(), strict=True)
        return ours, theirs

    def batch(self, dtype=torch.float32, step=0):
        generator = torch.Generator().manual_seed(step)
        values = torch.randn(self.shape, generator=generator) * (step + 1) + step
        return values.to(dtype, memory_format=self.layout)

    def upstream(self, dtype=torch.float32):
        return torch.randn(self.shape, generator=torch.Generator().manual_seed(99)).to(dtype)


CASES = [
    Case("BatchNorm1d", (3,), (8, 3)),
    Case("BatchNorm1d", (3,), (4, 3, 5)),
    Case("BatchNorm2d", (3,), (4, 3, 5, 2)),
    Case("BatchNorm2d", (3,), (4, 3, 5, 2), torch.channels_last),
    Case("BatchNorm3d", (3,), (2, 3, 4, 2, 3)),
    Case("BatchNorm3d", (3,), (2, 3, 4, 2, 3), torch.channels_last_3d),
    Case("InstanceNorm1d", (3,), (3, 8)),
    Case("InstanceNorm1d", (3,), (4, 3, 8)),
    Case("InstanceNorm2d", (3,), (3, 5, 2)),
    Case("InstanceNorm2d", (3,), (4, 3, 5, 2)),
    Case("InstanceNorm2d", (3,), (4, 3, 5, 2), torch.channels_last),
    Case("InstanceNorm3d", (3,), (3, 4, 2, 3)),
    Case("InstanceNorm3d", (3,), (2, 3, 4, 2, 3)),
    Case("InstanceNorm3d", (3,), (2, 3, 4, 2, 3), torch.channels_last_3d),
    Case("LayerNorm", (5,), (5,)),
    Case("LayerNorm", (5,), (4, 5)),
    Case("LayerNorm", (5,), (2, 3, 5)),
    Case("LayerNorm", ((3, 5),), (2, 3, 5)),
    Case("LayerNorm", ((3, 5, 2),), (4, 3, 5, 2)),
    Case("LayerNorm", (6,), (4, 3, 5, 6), torch.channels_last),
    Case("LayerNorm", ((3, 5, 2),), (4, 3, 5, 2), torch.channels_last),
    Case("GroupNorm", (2, 6), (3, 6)),
    Case("GroupNorm", (3, 6), (4, 6, 5)),
    Case("GroupNorm", (1, 6), (4, 6, 5, 2)),
    Case("GroupNorm", (2, 6), (4, 6, 5, 2)),
    Case("GroupNorm", (6, 6), (4, 6, 5, 2)),
    Case("GroupNorm", (2, 6), (4, 6, 5, 2), torch.channels_last),
    Case("GroupNorm", (2, 4), (2, 4, 3, 2, 3)),
    Case("GroupNorm", (2, 4), (2, 4, 3, 2, 3), torch.channels_last_3d),
    Case("RMSNorm", (5,), (5,)),
    Case("RMSNorm", (5,), (4, 5)),
    Case("RMSNorm", ((3, 5),), (2, 3, 5)),
    Case("RMSNorm", ((3, 5, 2),), (4, 3, 5, 2)),
    Case("RMSNorm", (6,), (4, 3, 5, 6), torch.channels_last),
    Case("RMSNorm", (3,), (2, 4, 3, 2, 3), torch.channels_last_3d),
]


def listed(value):
    if isinstance(value, bool):
        return "train" if value else "eval"
    if isinstance(value, dict):
        return ",".join(f"{name}={chosen}" for name, chosen in value.items())
    return str(value)


ALL_CASES = pytest.mark.parametrize(
    ("case", "training"),
    [(case, training) for case in CASES for training in case.modes],
    ids=listed,
)
CASES_AND_OPTIONS = pytest.mark.parametrize(
    ("case", "training", "options"),
    [
        (case, training, options)
        for case in CASES
        for training in case.modes
        for options in case.options
    ],
    ids=listed,
)
WITH_MOMENTUM = [case for case in CASES if len(case.modes) == 2]


def assert_close(ours, theirs, tolerance):
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    scale = max(theirs.abs().max().item(), 1.0)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * scale)


def assert_same_steps(case, ours, theirs, dtype, tolerance, steps=3):
    """Run both on a few batches: outputs, gradients and, at the end, the state."""
    upstream = case.upstream(dtype)
    for step in range(steps):
        mine, yours = (case.batch(dtype, step).requires_grad_() for _ in range(2))
        output, expected = ours(mine), theirs(yours)
        assert_close(output, expected, tolerance)
        assert output.stride() == expected.stride()
        ours.zero_grad()
        theirs.zero_grad()
        output.backward(upstream)
        expected.backward(upstream)
        assert_close(mine.grad, yours.grad, tolerance)
        for (name, parameter), (reference_name, reference) in zip(
            ours.named_parameters(), theirs.named_parameters(), strict=True
        ):
            assert name == reference_name
            assert_close(parameter.grad, reference.grad, tolerance)
    state, reference = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(reference)
    for name in state:
        assert_close(state[name], reference[name], tolerance)


@DTYPES
@CASES_AND_OPTIONS
def test_parity(case, options, training, dtype):
    ours, theirs = (layer.train(training) for layer in case.pair(dtype, **options))
    assert_same_steps(case, ours, theirs, dtype, TOLERANCES[dtype])


@pytest.mark.parametrize("momentum", [0, 0.5, 1.0, None], ids=lambda m: f"momentum={m}")
@pytest.mark.parametrize("training", [True, False], ids=listed)
@pytest.mark.parametrize("case", WITH_MOMENTUM, ids=listed)
def test_running_statistics_follow_torchs(case, momentum, training):
    options = {"momentum": momentum, "track_running_stats": True}
    ours, theirs = (layer.train(training) for layer in case.pair(**options))
    assert_same_steps(case, ours, theirs, torch.float32, 2e-6)


@HALVES
@CASES_AND_OPTIONS
def test_half_precision_is_the_exact_answer_rounded_once(case, options, training, dtype):
    ours, theirs = (layer.train(training) for layer in case.pair(dtype, **options))
    theirs.double()
    mine, yours = case.batch(dtype), case.batch(dtype).double()
    mine.requires_grad_()
    yours.requires_grad_()
    output, expected = ours(mine), theirs(yours)
    output.backward(case.upstream(dtype))
    expected.backward(case.upstream(dtype).double())
    pairs = [(output, expected), (mine.grad, yours.grad)]
    pairs += [(p.grad, q.grad) for p, q in zip(ours.parameters(), theirs.parameters(), strict=True)]
    pairs += [(b, c) for b, c in zip(ours.buffers(), theirs.buffers(), strict=True) if b.dim()]
    for ours, exact in pairs:
        assert ours.dtype == dtype
        scale = exact.abs().max().item()
        rounding = torch.finfo(dtype).eps / 2 * scale
        torch.testing.assert_close(ours.double(), exact, rtol=0, atol=1.01 * rounding)


# torch says that its fused kernel does not serve RMSNorm here.
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
@HALVES
@ALL_CASES
def test_half_precision_input_with_float32_state(case, dtype, training):
    ours, theirs = (layer.train(training) for layer in case.pair(**case.options[0]))
    assert_close(ours(case.batch(dtype)), theirs(case.batch(dtype)), TOLERANCES[dtype])
    for (_, buffer), (_, reference) in zip(
        ours.named_buffers(), theirs.named_buffers(), strict=True
    ):
        assert_close(buffer, reference, 1e-5)


def second_derivatives(layer, batch, upstream):
    """Of a gradient's product with fixed directions: what a gradient penalty differentiates."""
    roots = [batch.requires_grad_(), upstream.requires_grad_(), *layer.parameters()]
    wanted = [root for root in roots if root is not upstream]
    gradients = torch.autograd.grad(layer(batch), wanted, upstream, create_graph=True)
    generator = torch.Generator().manual_seed(7)
    penalty = sum(
        (gradient * torch.randn(gradient.shape, generator=generator, dtype=gradient.dtype)).sum()
        for gradient in gradients
    )
    return torch.autograd.grad(penalty, roots, allow_unused=True, materialize_grads=True)


@CASES_AND_OPTIONS
def test_second_derivatives(case, options, training):
    dtype = torch.float64
    mine, yours = (
        second_derivatives(layer.train(training), case.batch(dtype), case.upstream(dtype))
        for layer in case.pair(dtype, **options)
    )
    for ours, theirs in zip(mine, yours, strict=True):
        assert_close(ours, theirs, 1e-11)


@ALL_CASES
def test_gradients_of_input_and_parameters_pass_gradcheck_twice(case, training):
    layer, _ = case.pair(torch.float64, **case.options[0])
    layer.train(training)
    names = [name for name, _ in layer.named_parameters()]

    def call(batch, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), batch)

    inputs = (case.batch(torch.float64).requires_grad_(), *layer.parameters())
    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, inputs, fast_mode=True)


def subsets(tensors):
    """Every choice of the tensors that take a gradient, but none at all."""
    for chosen in itertools.product((True, False), repeat=len(tensors)):
        if any(chosen):
            yield [t.requires_grad_(wanted) for t, wanted in zip(tensors, chosen, strict=True)]


@ALL_CASES
def test_any_part_alone_can_take_a_gradient(case, training):
    ours, theirs = (layer.train(training) for layer in case.pair(torch.float64, **case.options[0]))
    batch = case.batch(torch.float64)
    answers = []
    # Contiguous for torch, whose GroupNorm (2.13) kills the process when the input is
    # channels-last and takes no gradient.
    for layer, own in ((ours, batch.clone()), (theirs, batch.contiguous())):
        found = []
        for tensors in subsets([own, *layer.parameters()]):
            wanted = [tensor for tensor in tensors if tensor.requires_grad]
            loss = (layer(own) ** 3).sum()
            gradients = torch.autograd.grad(loss, wanted, create_graph=True)
            found += gradients
            penalty = sum(gradient.square().sum() for gradient in gradients)
            found += torch.autograd.grad(penalty, wanted, allow_unused=True, materialize_grads=True)
        answers.append(found)
    for ours, theirs in zip(*answers, strict=True):
        assert_close(ours, theirs, 1e-11)


# The calls of large inputs, with blocks small enough to cut these: see bnlab.functional.layouts.
@ALL_CASES
def test_inputs_that_go_through_in_blocks(case, training, monkeypatch):
    monkeypatch.setattr("bnlab.functional.layouts.BLOCK", 24)
    for options in case.options:
        ours, theirs = (layer.train(training) for layer in case.pair(torch.float64, **options))
        assert_same_steps(case, ours, theirs, torch.float64, 1e-12)


@pytest.mark.parametrize("mean", [30.0, 1e4, -1e6])
@ALL_CASES
def test_a_mean_far_from_0(case, mean, training):
    """Of all values, and of one channel alone, so that some statistics are far and some near."""
    ours, theirs = (layer.train(training) for layer in case.pair(**case.options[0]))
    theirs.double()
    shift = torch.zeros(case.shape)
    shift.select(min(1, len(case.shape) - 1), 0).fill_(mean)
    for far in (shift, torch.full(case.shape, mean)):
        batch = case.batch() + far
        mine = batch.clone().requires_grad_()
        # Contiguous: torch's GroupNorm of channels-last input loses all digits at such means.
        yours = batch.double().contiguous().requires_grad_()
        output, expected = ours(mine), theirs(yours)
        output.backward(case.upstream())
        expected.backward(case.upstream().double())
        assert_close(output.double(), expected, 2e-6)
        assert_close(mine.grad.double(), yours.grad, 1e-5)
        for parameter, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert_close(parameter.grad.double(), reference.grad, 1e-5)
        ours.zero_grad()
        theirs.zero_grad()


@ALL_CASES
def test_a_strided_view_gets_torchs_values_gradients_and_layout(case, training):
    ours, theirs = (layer.train(training) for layer in case.pair(torch.float64, **case.options[0]))
    values = case.batch(torch.float64)
    apart = torch.stack([values, values], dim=-1)[..., 0]
    turned = values.transpose(0, -1).contiguous().transpose(0, -1)
    repeated = values[:1].expand(case.shape)
    for view in (apart, turned, repeated):
        answers = []
        for layer in (ours, theirs):
            leaf = view.detach().requires_grad_()
            output = layer(leaf)
            (gradient,) = torch.autograd.grad(output, leaf, view.cos())
            answers.append((output, gradient))
        for mine, yours in zip(*answers, strict=True):
            assert_close(mine, yours, 1e-10)
        if view is not repeated:
            assert answers[0][0].stride() == answers[1][0].stride()
