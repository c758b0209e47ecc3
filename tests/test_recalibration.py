"""Recalibrated statistics are those of all batches joined, and nothing else has changed."""

import copy
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import bnlab
from bnlab import data, models, training

DIGITS = data.digits()
IMAGES = DIGITS.test.inputs[:40].double()
NORMS = [nn.BatchNorm2d, bnlab.BatchNorm2d, nn.SyncBatchNorm]


@pytest.fixture(autouse=True)
def same_numbers_each_time():
    torch.manual_seed(0)


def network(norm=bnlab.BatchNorm2d):
    """Norms one after the other and in residual branches, gammas and betas unlike 1 and 0."""
    model = models.residual_net(norm, blocks=2).double()
    for layer in norms_of(model):
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    return model


def norms_of(model):
    kinds = nn.modules.batchnorm._BatchNorm, bnlab.BatchNorm1d, bnlab.BatchNorm2d
    return [module for module in model.modules() if isinstance(module, kinds)]


def inputs_of(model, images):
    """What reaches each norm in eval mode, channels first."""
    seen = {norm: [] for norm in norms_of(model)}
    handles = [
        norm.register_forward_hook(lambda norm, args, _: seen[norm].append(args[0]))
        for norm in seen
    ]
    with torch.no_grad():
        copy_of_modes = [(m, m.training) for m in model.modules()]
        model.eval()(images)
        for module, mode in copy_of_modes:
            module.training = mode
    for handle in handles:
        handle.remove()
    return {norm: torch.cat(values).movedim(1, 0).flatten(1) for norm, values in seen.items()}


def state_of(model):
    return copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]


def assert_as_before(model, before):
    state, modes = before
    assert [m.training for m in model.modules()] == modes
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, state[name], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: f"{norm.__module__}.{norm.__name__}")
@pytest.mark.parametrize("sizes", [(40,), (1, 3, 36), (20, 0, 20)])
def test_each_norm_has_the_statistics_of_what_reaches_it_in_eval_mode(norm, sizes):
    model = network(norm)
    assert bnlab.recalibrate(model, IMAGES.split(sizes)) is model
    for layer, values in inputs_of(model, IMAGES).items():
        torch.testing.assert_close(layer.running_mean, values.mean(1), rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(layer.running_var, values.var(1), rtol=1e-12, atol=1e-12)


def test_it_is_train_mode_on_one_batch_of_all_but_for_the_bias_of_the_variance():
    model = network()
    expected = copy.deepcopy(model)
    for norm in norms_of(expected):
        norm.momentum = 1.0
    expected(IMAGES)
    bnlab.recalibrate(model, IMAGES.split(7))
    for norm, other in zip(norms_of(model), norms_of(expected), strict=True):
        # 160 values a channel, then 40 after pooling: the deepest is off by some n / (n - 1).
        torch.testing.assert_close(norm.running_mean, other.running_mean, rtol=0.01, atol=0.01)
        torch.testing.assert_close(norm.running_var, other.running_var, rtol=0.05, atol=0.01)


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=5).filter(lambda sizes: sum(sizes) > 1),
    st.sampled_from([0.0, 1e4]),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_batches_of_any_size_are_joined_exactly(sizes, mean, dtype):
    values = data.synthetic((sum(sizes), 3, 2), mean=mean, seed=len(sizes)).to(dtype)
    norm = bnlab.recalibrate(bnlab.BatchNorm1d(3).to(dtype), values.split(sizes))
    rows = values.double().movedim(1, 0).flatten(1)
    torch.testing.assert_close(norm.running_mean, rows.mean(1).to(dtype))
    torch.testing.assert_close(norm.running_var, rows.var(1).to(dtype), rtol=1e-6, atol=1e-6)


def test_a_late_average_is_mended():
    """Few steps of large batches leave the start in the average; the weights are good."""
    flat = data.digits(flat=True)
    model = models.mlp(64, bnlab.BatchNorm1d)
    training.fit(model, flat, epochs=1, batch_size=448, progress=False)
    before = training.accuracy(model, flat.test)
    bnlab.recalibrate(model, flat.train.inputs.split(100))
    assert training.accuracy(model, flat.test) > before + 0.2


def test_statistics_that_hold_nan_are_replaced():
    model = network()
    expected = bnlab.recalibrate(copy.deepcopy(model), [IMAGES]).state_dict()
    for norm in norms_of(model):
        norm.running_mean.fill_(torch.nan)
        norm.running_var.fill_(-1.0)
    bnlab.recalibrate(model, [IMAGES])
    torch.testing.assert_close(model.state_dict(), expected)


def test_modes_gradients_dropout_and_generators_stay():
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(), nn.BatchNorm1d(4), nn.LayerNorm(4))
    model[0].eval()
    (model[0](torch.randn(2, 3)).sum()).backward()
    gradient = model[0].weight.grad.clone()
    modes = [m.training for m in model.modules()]
    inputs = torch.randn(9, 3)
    loader = DataLoader(TensorDataset(inputs, torch.zeros(9)), batch_size=2, shuffle=True)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    bnlab.recalibrate(model, loader)
    assert (random.random(), np.random.rand(), torch.rand(1)) == expected  # noqa: NPY002
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(model[0].weight.grad, gradient)
    assert not model[2].running_mean.requires_grad
    # No value was dropped on the way.
    with torch.no_grad():
        torch.testing.assert_close(model[2].running_mean, model[0](inputs).mean(0))


def test_every_pass_draws_the_same():
    class Augmented:
        """Noise of three libraries; what came is kept."""

        def __init__(self):
            self.seen = []

        def __iter__(self):
            noise = random.random() + np.random.rand() + torch.rand(1).item()  # noqa: NPY002
            self.seen.append(noise)
            return iter([torch.randn(4, 2) + noise])

    batches = Augmented()
    bnlab.recalibrate(nn.Sequential(*(nn.BatchNorm1d(2) for _ in range(3))), batches)
    assert len(batches.seen) == 3
    assert len(set(batches.seen)) == 1


@pytest.mark.parametrize("way", ["list", "tuples", "generator", "loader"])
def test_batches_come_as_loaders_give_them(way):
    model, expected = network(), network()
    expected.load_state_dict(model.state_dict())
    bnlab.recalibrate(expected, [IMAGES[:30], IMAGES[30:]])
    split = IMAGES.split(30)
    batches = {
        "list": list(split),
        "tuples": [(images, torch.zeros(len(images))) for images in split],
        "generator": (images for images in split),
        "loader": DataLoader(TensorDataset(IMAGES, IMAGES), batch_size=30),
    }[way]
    bnlab.recalibrate(model, batches)
    torch.testing.assert_close(model.state_dict(), expected.state_dict())


@pytest.mark.parametrize(("momentum", "count"), [(0.1, 7), (None, 2)])
def test_momentum_stays_and_the_counter_fits_it(momentum, count):
    norm = bnlab.BatchNorm1d(3, momentum=momentum)
    for _ in range(5):
        norm(torch.randn(4, 3))
    values = torch.randn(8, 3)
    bnlab.recalibrate(norm, values.split(4))
    assert norm.momentum == momentum
    assert norm.num_batches_tracked == count
    if momentum is None:
        # Training goes on from the average of these batches.
        more = torch.randn(4, 3)
        norm.train()(more)
        torch.testing.assert_close(norm.running_mean, (2 * values.mean(0) + more.mean(0)) / 3)


def test_frozen_norms_are_left_out_and_seen_through():
    model = network()
    bnlab.freeze(model.norm)
    before = copy.deepcopy(model.norm.state_dict())
    bnlab.recalibrate(model, [IMAGES])
    assert all(torch.equal(value, before[name]) for name, value in model.norm.state_dict().items())
    for layer, values in inputs_of(model, IMAGES).items():
        if layer is not model.norm:
            torch.testing.assert_close(layer.running_mean, values.mean(1))


def test_norms_that_no_batch_reaches_and_other_norms_stay():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused, self.used = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
            self.instance = nn.InstanceNorm1d(3, track_running_stats=True)
            self.untracked = nn.BatchNorm1d(3, track_running_stats=False)

        def forward(self, values):
            return self.used(input=self.untracked(self.instance(values)))

    model = Net()
    before = copy.deepcopy(model.state_dict())
    bnlab.recalibrate(model, [torch.randn(4, 3, 5) + 1])
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {f"used.{n}" for n in ("running_mean", "running_var", "num_batches_tracked")}


def test_a_shared_norm_takes_all_its_inputs():
    norm = nn.BatchNorm1d(3)
    model = nn.Sequential(norm, nn.ReLU(), norm).eval()
    values = torch.randn(8, 3)
    second = norm(values).relu().detach()
    bnlab.recalibrate(model, values.split(4))
    torch.testing.assert_close(norm.running_mean, torch.cat([values, second]).mean(0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_added_up_in_float64(dtype):
    norm = bnlab.recalibrate(nn.BatchNorm1d(2), torch.full((5000, 2), 3.0, dtype=dtype).split(7))
    assert norm.running_mean.tolist() == [3.0, 3.0]
    with pytest.raises(ValueError, match="keep the norm in float32"):
        bnlab.recalibrate(nn.BatchNorm1d(1).half(), [torch.tensor([[-9e3], [9e3]]).half()])


def nothing_twice():
    class Once:
        def __init__(self):
            self.batches = [IMAGES]

        def __iter__(self):
            return iter([self.batches.pop()] if self.batches else [])

    return Once()


@pytest.mark.parametrize(
    ("batches", "error", "words"),
    [
        ([], ValueError, "batches is empty"),
        (iter([]), ValueError, "batches is empty"),
        (nothing_twice(), ValueError, "empty when read again"),
        ([IMAGES, IMAGES.clone().fill_(torch.nan)], ValueError, "batch 2 holds NaN or infinity"),
        ([IMAGES, IMAGES / 0], ValueError, "batch 2 holds NaN or infinity"),
        ([IMAGES, IMAGES[:, :, :3, :3, None]], RuntimeError, "input"),
        ([IMAGES, "images"], TypeError, "got str"),
        ([{"images": IMAGES}], TypeError, "got dict"),
        ([()], TypeError, "got tuple"),
    ],
)
def test_errors_leave_the_model_as_it_was(batches, error, words):
    model = network()
    model.norm.eval()
    model.norm.running_mean[0] = torch.nan
    before = state_of(model)
    with pytest.raises(error, match=words):
        bnlab.recalibrate(model, batches)
    assert_as_before(model, before)
    assert not any(norm._forward_pre_hooks for norm in norms_of(model))


def test_nan_that_weights_make_is_told_from_nan_in_the_batch():
    model = network()
    with torch.no_grad():
        model.block1.branch.conv1.weight[0] = torch.inf
    before = state_of(model)
    with pytest.raises(ValueError, match=r"is finite, but what reaches block1\.branch\.norm1"):
        bnlab.recalibrate(model, [IMAGES])
    assert_as_before(model, before)


def test_one_value_has_no_variance():
    with pytest.raises(ValueError, match="pass more samples"):
        bnlab.recalibrate(nn.BatchNorm1d(3), [torch.zeros(1, 3)])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (nn.Sequential(nn.Linear(3, 3)), "none keeps any"),
        (nn.BatchNorm1d(3, track_running_stats=False), "none keeps any"),
        (bnlab.freeze(nn.Sequential(nn.BatchNorm1d(3))), "0: frozen, bnlab.unfreeze"),
    ],
)
def test_without_a_norm_there_is_nothing_to_do(model, words):
    with pytest.raises(ValueError, match=words):
        bnlab.recalibrate(model, [torch.randn(4, 3)])


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match="pass the model"):
        bnlab.recalibrate([nn.BatchNorm1d(3)], [torch.randn(4, 3)])
