"""What a drop-in owes its user, asked of every layer: state, copies, edges, errors."""

import copy
import inspect
import io
import itertools
import pickle
import warnings

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils import checkpoint

import bnlab

# The arguments that each layer needs, an input, and what else it may be told.
LAYERS = {
    "BatchNorm1d": ((3,), (4, 3, 6), {"affine", "bias", "track_running_stats"}),
    "BatchNorm2d": ((3,), (4, 3, 2, 3), {"affine", "bias", "track_running_stats"}),
    "BatchNorm3d": ((3,), (4, 3, 2, 2, 3), {"affine", "bias", "track_running_stats"}),
    "InstanceNorm1d": ((3,), (4, 3, 6), {"affine", "bias", "track_running_stats"}),
    "InstanceNorm2d": ((3,), (4, 3, 2, 3), {"affine", "bias", "track_running_stats"}),
    "InstanceNorm3d": ((3,), (4, 3, 2, 2, 3), {"affine", "bias", "track_running_stats"}),
    "LayerNorm": (([3, 2],), (4, 3, 2), {"elementwise_affine", "bias"}),
    "GroupNorm": ((2, 4), (4, 4, 3), {"affine", "bias"}),
    "RMSNorm": (([3, 2],), (4, 3, 2), {"elementwise_affine"}),
}


class Family:
    """One layer's name, ours and torch's class, and how to build and feed them."""

    def __init__(self, name: str) -> None:
        self.arguments, self.shape, self.switches = LAYERS[name]
        self.ours, self.theirs = getattr(bnlab, name), getattr(nn, name)

    def settings(self):
        """Every way to set the switches."""
        for chosen in itertools.product((True, False), repeat=len(self.switches)):
            yield dict(zip(sorted(self.switches), chosen, strict=True))

    def full(self):
        """All that the layer can learn and track, switched on."""
        return dict.fromkeys(self.switches, True)

    def layer(self, **options):
        return self.ours(*self.arguments, **self.full() | options)

    def torchs(self, **options):
        return self.theirs(*self.arguments, **self.full() | options)

    def batch(self, size=None):
        shape = self.shape if size is None else (size, *self.shape[1:])
        return torch.randn(shape, generator=torch.Generator().manual_seed(3)) * 3 + 1


@pytest.fixture(params=LAYERS)
def family(request):
    return Family(request.param)


def equal(state, reference):
    return list(state) == list(reference) and all(
        torch.equal(state[name], reference[name]) and state[name].dtype == reference[name].dtype
        for name in state
    )


def test_constructor_has_the_same_arguments_and_defaults(family):
    def arguments(function):
        return [
            (p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()
        ]

    assert arguments(family.ours) == arguments(family.theirs)
    names = [inspect.signature(cls.forward).parameters for cls in (family.ours, family.theirs)]
    assert list(names[0]) == list(names[1])


def test_is_a_module_but_no_layer_of_torchs(family):
    assert issubclass(family.ours, nn.Module)
    assert [base.__module__ for base in family.ours.__mro__ if "torch.nn" in base.__module__] == [
        "torch.nn.modules.module"
    ]


def test_repr_and_attributes_are_the_same(family):
    for options in family.settings():
        for eps in (1e-3, 0.5):
            ours = family.ours(*family.arguments, eps=eps, **options)
            theirs = family.theirs(*family.arguments, eps=eps, **options)
            assert repr(ours) == repr(theirs)
            mine, yours = vars(ours), vars(theirs)
            assert set(mine) == set(yours)
            assert {k: v for k, v in mine.items() if k[0] != "_"} == {
                k: v for k, v in yours.items() if k[0] != "_"
            }
            for kind in ("_parameters", "_buffers"):
                assert [(k, v is None) for k, v in mine[kind].items()] == [
                    (k, v is None) for k, v in yours[kind].items()
                ]


def test_eps_is_heeded(family):
    for eps, training in itertools.product((1e-3, 2.0), (True, False)):
        ours, theirs = (
            layer.train(training) for layer in (family.layer(eps=eps), family.torchs(eps=eps))
        )
        torch.testing.assert_close(ours(family.batch()), theirs(family.batch()))


def test_starts_with_torchs_state(family):
    for options in family.settings():
        assert equal(family.layer(**options).state_dict(), family.torchs(**options).state_dict())
    assert all(parameter.requires_grad for parameter in family.layer().parameters())


def test_reset_parameters_forgets_all(family):
    layer = family.layer()
    for tensor in layer.state_dict().values():
        tensor.fill_(5)
    layer.reset_parameters()
    assert equal(layer.state_dict(), family.torchs().state_dict())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_state_dicts_load_both_ways(family, dtype):
    for options in family.settings():
        mine, yours = family.layer(**options).to(dtype), family.torchs(**options).to(dtype)
        mine(family.batch().to(dtype))
        for parameter in mine.parameters():
            nn.init.uniform_(parameter)
        yours.load_state_dict(mine.state_dict(), strict=True)
        back = family.layer(**options).to(dtype)
        back.load_state_dict(yours.state_dict(), strict=True)
        assert equal(back.state_dict(), mine.state_dict())
        assert mine.state_dict()._metadata == yours.state_dict()._metadata


def test_a_state_dict_with_a_name_too_many_or_too_few_is_refused(family):
    state = family.torchs().state_dict()
    with pytest.raises(RuntimeError, match=r"Unexpected key.*extra"):
        family.layer().load_state_dict({**state, "extra": torch.zeros(1)})
    del state["weight"]
    with pytest.raises(RuntimeError, match=r"Missing key.*weight"):
        family.layer().load_state_dict(state)


def test_copies_and_pickles(family):
    layer = family.layer()
    layer(family.batch())
    nn.init.uniform_(layer.weight)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    layer.eval()
    for twin in (
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        torch.load(file, weights_only=False).eval(),
    ):
        assert type(twin) is type(layer)
        assert repr(twin) == repr(layer)
        assert torch.equal(twin(family.batch()), layer(family.batch()))
        with torch.no_grad():
            twin.weight.zero_()
        assert not torch.equal(twin.weight, layer.weight)


def test_moves_to_a_dtype_and_a_device(family):
    for dtype in (torch.float64, torch.bfloat16):
        mine, yours = family.layer().to(dtype), family.torchs().to(dtype)
        assert {k: v.dtype for k, v in mine.state_dict().items()} == {
            k: v.dtype for k, v in yours.state_dict().items()
        }
        assert mine(family.batch().to(dtype)).dtype == dtype
    assert all(tensor.is_meta for tensor in family.layer().to("meta").state_dict().values())


def test_builds_and_runs_on_the_meta_device(family):
    layer = family.layer(device="meta", dtype=torch.bfloat16)
    reference = family.torchs(device="meta", dtype=torch.bfloat16)
    for name, tensor in layer.state_dict().items():
        assert tensor.is_meta
        assert tensor.dtype == reference.state_dict()[name].dtype
    batch = family.batch().to("meta", torch.bfloat16)
    assert layer(batch).shape == batch.shape
    assert layer(batch).dtype == torch.bfloat16
    layer.to_empty(device="cpu").reset_parameters()
    assert equal(layer.state_dict(), family.torchs(dtype=torch.bfloat16).state_dict())


def test_runs_on_shapes_without_values(family):
    layer, batch = family.layer(), family.batch()
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert type(layer(batch)) is FakeTensor
        assert layer(batch).shape == batch.shape
    torch.testing.assert_close(layer(batch), family.torchs()(batch))


def test_functional_call(family):
    layer = family.layer()
    state = {name: value.clone() for name, value in family.torchs().state_dict().items()}
    state["weight"].fill_(2)
    batch = family.batch()
    output = torch.func.functional_call(layer, state, (batch,))
    torch.testing.assert_close(output, 2 * layer(batch))
    assert torch.equal(layer.weight, torch.ones_like(layer.weight))


def test_takes_an_empty_batch_and_learns_nothing_from_it(family):
    for options, training in itertools.product(family.settings(), (True, False)):
        layer = family.layer(**options).train(training)
        before = {k: v.clone() for k, v in layer.state_dict().items() if v.is_floating_point()}
        empty = family.batch(size=0).requires_grad_()
        output = layer(empty)
        assert output.shape == empty.shape
        output.sum().backward()
        assert empty.grad.shape == empty.shape
        for parameter in layer.parameters():
            assert torch.equal(parameter.grad, torch.zeros_like(parameter))
        assert all(torch.equal(layer.state_dict()[k], v) for k, v in before.items())


def test_gradients_stop_where_they_are_not_wanted(family):
    layer = family.layer()
    layer.weight.requires_grad_(False)
    layer(family.batch().requires_grad_()).sum().backward()
    assert layer.weight.grad is None
    assert not layer.requires_grad_(False)(family.batch()).requires_grad
    with torch.no_grad():
        assert not family.layer()(family.batch().requires_grad_()).requires_grad


def test_leaves_its_input_as_it_is(family):
    for training in (True, False):
        batch = family.batch()
        family.layer().train(training)(batch)
        assert torch.equal(batch, family.batch())


def test_its_output_can_be_changed_in_place_and_its_graph_run_twice(family):
    batch = family.batch()
    for training in (True, False):
        answers = []
        for layer in (family.layer(), family.torchs()):
            leaf = batch.clone().requires_grad_()
            output = layer.train(training)(leaf).mul_(2).relu_()
            output.sum().backward(retain_graph=True)
            output.sum().backward()
            answers.append((output, leaf.grad, layer.weight.grad))
        torch.testing.assert_close(*answers)


def test_changing_its_input_before_the_backward_pass_is_noticed(family):
    inner = family.batch().requires_grad_() * 1
    output = family.layer()(inner)
    inner.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


def test_works_under_autocast_as_torchs(family):
    for dtype in (torch.float32, torch.bfloat16):
        answers = []
        for layer in (family.layer(), family.torchs()):
            leaf = family.batch().to(dtype).requires_grad_()
            with warnings.catch_warnings(), torch.autocast("cpu", dtype=torch.bfloat16):
                warnings.filterwarnings("ignore", "Mismatch dtype")
                output = layer(leaf)
                (output**2 * torch.arange(output.numel()).view_as(output)).sum().backward()
            answers.append((output, leaf.grad, layer.weight.grad))
        for ours, theirs in zip(*answers, strict=True):
            assert ours.dtype == theirs.dtype
            scale = theirs.abs().max().item()
            tolerance = 1e-5 if dtype == torch.float32 else 2e-2
            torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * scale)


def test_works_under_checkpointing(family):
    layer, twin = family.layer(), family.layer()
    batch = family.batch().requires_grad_()
    output = checkpoint.checkpoint(layer, batch, use_reentrant=False)
    (gradient,) = torch.autograd.grad(output, batch, batch.detach())
    (expected,) = torch.autograd.grad(twin(batch), batch, batch.detach())
    torch.testing.assert_close(gradient, expected)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, once
def test_forward_mode_derivatives_are_torchs(family):
    # In train mode running statistics would be changed in place, which torch.func refuses.
    for training in (True, False):
        options = dict.fromkeys({"track_running_stats"} & family.switches, not training)
        batch = family.batch().double()
        found, expected = (
            torch.func.jvp(layer.double().train(training), (batch,), (batch.sin(),))
            for layer in (family.layer(**options), family.torchs(**options))
        )
        torch.testing.assert_close(found, expected)


def test_vmap_over_inputs_and_parameters_is_a_loop(family):
    layer = family.layer().eval().double()
    batches = torch.stack([family.batch(), family.batch() * 2]).double()
    torch.testing.assert_close(torch.vmap(layer)(batches), torch.stack([layer(b) for b in batches]))
    weights = torch.stack([layer.weight.detach(), layer.weight.detach() * 3])

    def loss(weight, batch):
        return torch.func.functional_call(layer, {"weight": weight}, batch).pow(3).sum()

    gradients = torch.vmap(torch.func.grad(loss))(weights, batches)
    for weight, batch, gradient in zip(weights, batches, gradients, strict=True):
        torch.testing.assert_close(gradient, torch.func.grad(loss)(weight, batch))


def test_a_nan_stays_where_it_shares_a_statistic(family):
    batch = family.batch()
    batch.view(-1)[0] = float("nan")
    for training in (True, False):
        answers = []
        for layer in (family.layer(), family.torchs()):
            leaf = batch.clone().requires_grad_()
            output = layer.train(training)(leaf)
            output.sum().backward()
            answers.append((output, leaf.grad, layer.weight.grad))
        for ours, theirs in zip(*answers, strict=True):
            assert torch.equal(ours.isnan(), theirs.isnan())


def test_a_constant_input_gives_the_bias(family):
    for value in (0.0, 7.0, 1e6):
        leaf = torch.full(family.shape, value).requires_grad_()
        ours = family.layer()
        output = ours(leaf)
        output.sum().backward()
        expected = torch.ones if family.ours is bnlab.RMSNorm and value else torch.zeros
        torch.testing.assert_close(output, expected(family.shape), rtol=1e-5, atol=0)
        assert leaf.grad.isfinite().all()


# What torch refuses: the layer, how it is built, its input, the error, and the fix that we name.
REFUSED = {
    "BatchNorm1d, 4D": ("BatchNorm1d", (3,), {}, (4, 3, 2, 2), ValueError, r"\(N, C\) or"),
    "BatchNorm2d, channels": ("BatchNorm2d", (3,), {}, (4, 5, 2, 2), RuntimeError, "dimension 1"),
    "BatchNorm2d, one value": ("BatchNorm2d", (3,), {}, (1, 3, 1, 1), ValueError, "eval mode"),
    "InstanceNorm2d, 5D": ("InstanceNorm2d", (3,), {}, (2, 3, 4, 4, 4), ValueError, r"\(C, H, W\)"),
    "InstanceNorm1d, channels": (
        "InstanceNorm1d",
        (3,),
        {"affine": True},
        (2, 5, 4),
        ValueError,
        "num_features=5",
    ),
    "InstanceNorm1d, unbatched channels": (
        "InstanceNorm1d",
        (3,),
        {"affine": True},
        (5, 4),
        ValueError,
        "num_features=5",
    ),
    "InstanceNorm1d, one value": ("InstanceNorm1d", (3,), {}, (2, 3, 1), ValueError, "positions"),
    "InstanceNorm1d, unbatched value": (
        "InstanceNorm1d",
        (3,),
        {"affine": True, "track_running_stats": True},
        (3, 1),
        ValueError,
        "positions",
    ),
    "LayerNorm, shape": ("LayerNorm", (3,), {}, (2, 4), RuntimeError, r"normalized_shape=\(4,\)"),
    "LayerNorm, too few": ("LayerNorm", ((3, 4),), {}, (4,), RuntimeError, r"normalized_shape="),
    "LayerNorm, no dimension": ("LayerNorm", (3,), {}, (), RuntimeError, "normalized_shape"),
    "LayerNorm, empty shape": ("LayerNorm", ((),), {}, (2, 4), RuntimeError, "last dimension"),
    "RMSNorm, shape": ("RMSNorm", (3,), {}, (2, 4), RuntimeError, r"normalized_shape=\(4,\)"),
    "RMSNorm, empty shape": ("RMSNorm", ((),), {}, (2, 4), RuntimeError, "last dimension"),
    "GroupNorm, channels": ("GroupNorm", (2, 4), {}, (2, 6, 3), RuntimeError, "dimension 1"),
    "GroupNorm, groups": (
        "GroupNorm",
        (2, 4),
        {"affine": False},
        (2, 5, 3),
        RuntimeError,
        "use one of 1, 5",
    ),
    "GroupNorm, one value": ("GroupNorm", (4, 4), {}, (1, 4), ValueError, "fewer groups"),
    "GroupNorm, no channels": ("GroupNorm", (4, 4), {}, (4,), RuntimeError, "unsqueeze"),
}


@pytest.mark.parametrize(
    ("name", "arguments", "options", "shape", "error", "fix"), REFUSED.values(), ids=REFUSED.keys()
)
def test_refuses_what_torch_refuses_and_names_the_fix(name, arguments, options, shape, error, fix):
    batch = torch.randn(shape)
    with pytest.raises(error) as expected:
        getattr(nn, name)(*arguments, **options)(batch)
    with pytest.raises(error, match=fix) as raised:
        getattr(bnlab, name)(*arguments, **options)(batch)
    assert raised.type is expected.type


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
def test_refuses_numbers_that_are_not_floating(family, dtype):
    batch = torch.ones(family.shape).to(dtype)
    for layer in (family.torchs(), family.layer()):
        # Ours is the kind of RuntimeError that torch raises for some of the layers.
        with pytest.raises(RuntimeError) as raised:
            layer(batch)
    assert raised.type is NotImplementedError
    assert "input.float()" in str(raised.value)


# torch says that its fused kernel does not serve RMSNorm here.
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
def test_takes_the_pairs_of_dtypes_that_torch_takes(family):
    def answers(layer, batch):
        try:
            return layer(batch).dtype
        except RuntimeError as error:
            return type(error)

    kinds = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    for state, data in itertools.product(kinds, kinds):
        batch = family.batch().to(data)
        assert answers(family.layer(dtype=state), batch) == answers(
            family.torchs(dtype=state), batch
        ), (state, data)
