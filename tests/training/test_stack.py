"""Models trained as a stack end as those trained one after another."""

import math
from functools import partial

import pytest
import torch
from torch import nn

import bnlab
from bnlab import data, models
from bnlab.training import Training, fit, stack, sweep, tasks


@pytest.fixture(scope="module")
def digits():
    whole = data.digits(flat=True)
    few = data.Split(whole.train.inputs[:330], whole.train.targets[:330])
    return data.Dataset(few, whole.test, whole.classes)


NORMS = {
    "none": None,
    "torch": nn.BatchNorm1d,
    "bnlab": bnlab.BatchNorm1d,
    "layer": bnlab.LayerNorm,
    "plain": lambda features: nn.BatchNorm1d(features, affine=False),
    "untracked": lambda features: bnlab.BatchNorm1d(features, track_running_stats=False),
}


def build(norm="torch"):
    return models.mlp(64, NORMS[norm])


def small_conv(norm):
    groups = partial(bnlab.GroupNorm, 4)
    kind = {"torch": nn.BatchNorm2d, "bnlab": bnlab.BatchNorm2d, "groups": groups}[norm]
    net = models.conv_net(kind, in_channels=1, size=8)
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), net)


def together(run, wanted, monkeypatch):
    """The histories of a stack, in which nothing was done alone."""
    monkeypatch.setattr(tasks, "_alone", None)
    return tasks.perform(run, wanted, [""] * len(wanted), None)


def assert_equal(result, history, within=1e-9):
    close = partial(torch.allclose, rtol=within, atol=within, equal_nan=True)
    assert result["stopped"] == history.stopped
    for name in ("loss", "train_loss", "test_loss", "train_accuracy", "test_accuracy"):
        expected = torch.tensor(getattr(history, name), dtype=torch.float64)
        assert close(result[name], expected), name
    for name, value in history.state.items():
        assert result[f"state.{name}"].dtype == value.dtype, name
        assert close(result[f"state.{name}"], value), name


@pytest.mark.parametrize("norm", NORMS)
def test_a_stack_equals_the_plain_loop(digits, norm, monkeypatch):
    run = Training(build, digits, epochs=1, batch_size=32, keep=True)
    wanted = [
        {"seed": 0, "norm": norm, "lr": 0.1},
        {"seed": 1, "norm": norm, "lr": 0.02, "momentum": 0.5},
        {"seed": 1, "norm": norm, "lr": 0.1, "weight_decay": 0.01},
        {"seed": 4, "norm": norm, "lr": 0.05, "momentum": 0.0},
    ]
    plain = [run(**point) for point in wanted]
    assert plain[0].loss != plain[2].loss
    for result, history in zip(together(run, wanted, monkeypatch), plain, strict=True):
        assert_equal(result, history)


@pytest.mark.parametrize("norm", NORMS)
def test_a_stack_in_float32_equals_fit(digits, norm, monkeypatch):
    run = Training(build, digits, epochs=1, batch_size=32, lr=0.02, keep=True, repeatable=False)
    wanted = [{"seed": seed, "norm": norm} for seed in range(3)]
    for point, result in zip(wanted, together(run, wanted, monkeypatch), strict=True):
        torch.manual_seed(point["seed"])
        model = build(norm)
        history = fit(
            model, digits, epochs=1, batch_size=32, lr=0.02, seed=point["seed"], progress=False
        )
        assert history.loss == run(**point).loss
        history.state = model.state_dict()
        assert_equal(result, history, within=1e-4)


@pytest.mark.parametrize("norm", ["torch", "bnlab", "groups"])
def test_pictures_stack_too(digits, norm, monkeypatch):
    run = Training(small_conv, digits, epochs=1, batch_size=32, keep=True)
    wanted = [{"seed": seed, "norm": norm, "lr": 0.02} for seed in range(2)]
    plain = [run(**point) for point in wanted]
    for result, history in zip(together(run, wanted, monkeypatch), plain, strict=True):
        assert_equal(result, history)


@pytest.mark.parametrize("norm", ["none", "bnlab"])
def test_a_diverging_mate_stops_for_itself(digits, norm, monkeypatch):
    run = Training(build, digits, epochs=1, batch_size=32, keep=True)
    wanted = [
        {"seed": seed, "norm": norm, "lr": lr} for seed, lr in enumerate((0.1, 1e200, 0.05, 1e200))
    ]
    plain = [run(**point) for point in wanted]
    assert [bool(history.stopped) for history in plain] == [False, True, False, True]
    results = together(run, wanted, monkeypatch)
    for place in (0, 2):
        assert_equal(results[place], plain[place])
    for place in (1, 3):
        assert results[place]["stopped"] == plain[place].stopped
        assert len(results[place]["test_accuracy"]) == len(plain[place].test_accuracy) == 1
        assert not math.isfinite(results[place]["loss"][-1])


def test_a_stack_of_which_all_diverge_ends(digits, monkeypatch):
    run = Training(build, digits, epochs=3, lr=1e200)
    results = together(run, [{"seed": 0, "norm": "none"}, {"seed": 1, "norm": "none"}], monkeypatch)
    assert all("smaller learning rate" in result["stopped"] for result in results)
    assert all(len(result["test_loss"]) == 1 for result in results)


def test_frozen_weights_stay(digits, monkeypatch):
    def only_norm():
        model = build("bnlab")
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("norm" in name)
        return model

    run = Training(only_norm, digits, epochs=1, batch_size=32, keep=True)
    results = together(run, [{"seed": 0}, {"seed": 3}], monkeypatch)
    for seed, result in zip((0, 3), results, strict=True):
        assert torch.equal(result["state.linear1.weight"], run.model(seed).linear1.weight)
        assert_equal(result, run(seed=seed))


class Clipped(nn.Module):
    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def forward(self, input):
        return input.clamp(-self.limit, self.limit)


def clipped(limit):
    return nn.Sequential(nn.Linear(64, 10), Clipped(limit))


def test_models_that_differ_in_more_than_weights_are_told_apart():
    assert stack.architecture(clipped(1.0)) == stack.architecture(clipped(1.0))
    assert stack.architecture(clipped(1.0)) != stack.architecture(clipped(2.0))
    assert stack.architecture(build("torch")) != stack.architecture(build("bnlab"))
    frozen = build()
    frozen.linear1.weight.requires_grad_(False)
    assert stack.architecture(build()) != stack.architecture(frozen)
    hooked, penalised = build(), build()
    hooked.register_forward_hook(lambda *_: None)
    penalised.norm1.weight.register_hook(lambda gradient: gradient + 0.01)
    for model in (hooked, penalised):
        with pytest.raises(TypeError, match="hooks"):
            stack.architecture(model)
    with pytest.raises(TypeError, match="attribute limit is a Tensor"):
        stack.architecture(clipped(torch.ones(1)))


def test_what_a_single_run_refuses_a_stack_refuses_too(digits):
    for settings, norm in (({"lr": -0.1}, nn.BatchNorm1d), ({"batch_size": 1}, nn.BatchNorm1d)):
        run = Training(lambda norm=norm: models.mlp(64, norm), digits, epochs=1)
        wanted = [{"seed": seed, **settings} for seed in range(2)]
        with pytest.raises(RuntimeError, match=r"seed=0.* failed: ValueError"):
            tasks.perform(run, wanted, ["", ""], None)
    for kind in (nn.BatchNorm2d, bnlab.BatchNorm2d):
        run = Training(lambda kind=kind: models.mlp(64, kind), digits, epochs=1)
        with pytest.raises(RuntimeError, match=r"seed=0 failed: ValueError: expected 4D"):
            tasks.perform(run, [{"seed": 0}, {"seed": 1}], ["", ""], None)


def test_what_shares_a_task():
    run = Training(build, None)
    wanted = [
        {"norm": norm, "lr": lr, "batch_size": size, "seed": seed}
        for norm in ("none", "torch")
        for lr in (0.1, 1.0)
        for size in (32, 64)
        for seed in range(5)
    ]
    found = tasks.split(run, wanted)
    assert sorted(place for task in found for place in task) == list(range(40))
    for task in found:
        assert len({(wanted[place]["norm"], wanted[place]["batch_size"]) for place in task}) == 1
    assert {len(task) for task in found} == {10}
    by_adam = Training(build, None, optimizer=torch.optim.Adam)
    assert len(tasks.split(by_adam, wanted)) == 40
    assert len(tasks.split(build, wanted)) == 40
    many = [{"seed": seed} for seed in range(100)]
    assert max(map(len, tasks.split(run, many))) <= tasks.LARGEST


def dropping(kind):
    return nn.Sequential(
        nn.Linear(64, 10), nn.Dropout(0.5) if kind == "random" else nn.Identity(), Looking(kind)
    )


class Looking(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, input):
        return -input if self.kind == "looking" and input.sum() > 1e9 else input


@pytest.mark.parametrize("kind", ["random", "looking"])
def test_what_cannot_be_stacked_is_done_alone(digits, kind):
    run = Training(dropping, digits, epochs=1, batch_size=32, lr=0.01)
    runs = sweep(run, {"kind": [kind]}, seeds=2, progress=False, cache=None)
    for seed in range(2):
        expected = torch.tensor(run(seed=seed, kind=kind).loss, dtype=torch.float64)
        assert torch.allclose(runs["loss"][0, seed], expected, rtol=1e-9)


def test_a_schedule_is_followed(digits):
    def halve(optimizer):
        return torch.optim.lr_scheduler.StepLR(optimizer, step_size=5, gamma=0.5)

    run = Training(build, digits, epochs=1, batch_size=32, schedule=halve)
    runs = sweep(run, {"lr": [0.1]}, seeds=2, progress=False, cache=None)
    steady = Training(build, digits, epochs=1, batch_size=32)
    assert runs["loss"][0, 1].tolist() == pytest.approx(run(seed=1).loss, rel=1e-9)
    assert run(seed=1).loss[:5] == steady(seed=1).loss[:5]
    assert run(seed=1).loss[-1] != steady(seed=1).loss[-1]
