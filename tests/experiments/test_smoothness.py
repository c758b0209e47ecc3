"""Loss and gradient along a step, on functions where both are known."""

import copy
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bnlab import BatchNorm1d, data, models
from bnlab.data import Split
from bnlab.experiments.smoothness import along_step, watch_smoothness
from bnlab.training import fit_repeatably

DIGITS = data.digits(flat=True)
PROBE = Split(DIGITS.train.inputs[:64].double(), DIGITS.train.targets[:64])


def perceptron(norm: type[nn.Module] | None = None) -> nn.Module:
    torch.manual_seed(0)
    return models.mlp(64, norm).double()


def gradient(model: nn.Module) -> torch.Tensor:
    loss = cross_entropy(model(PROBE.inputs), PROBE.targets)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def test_agrees_with_a_step_taken_by_hand() -> None:
    model = perceptron()
    before, start = gradient(model), cross_entropy(model(PROBE.inputs), PROBE.targets)
    seen = along_step(model, PROBE, [0.1, 0.2])
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for weight, step in zip(
            moved.parameters(), before.split([p.numel() for p in model.parameters()]), strict=True
        ):
            weight.sub_(0.2 * step.view_as(weight))
    there = cross_entropy(moved(PROBE.inputs), PROBE.targets)
    change = (gradient(moved) - before).norm()
    assert torch.allclose(seen.loss[[0, 2]], torch.stack([start, there]))
    assert torch.allclose(seen.change[1], change)
    assert torch.allclose(seen.distance[1], 0.2 * before.norm())
    assert torch.allclose(seen.kept[1], (start - there) / (0.2 * before.square().sum()))
    assert torch.allclose(seen.smoothness, (seen.change / seen.distance).max())


def test_a_small_step_keeps_the_promise() -> None:
    seen = along_step(perceptron(BatchNorm1d).train(), PROBE, [1e-5])
    assert seen.kept.item() == pytest.approx(1, abs=0.01)
    assert seen.cosine.item() == pytest.approx(1, abs=0.01)


def test_nothing_about_the_model_moves() -> None:
    model = perceptron(BatchNorm1d).train()
    before = copy.deepcopy(model.state_dict())
    along_step(model, PROBE, [0.1])
    along_step(model, PROBE, [0.1], relative=True)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


def test_only_relative_steps_overlook_a_weight_that_a_norm_makes_scale_free() -> None:
    model = perceptron(partial(BatchNorm1d, eps=1e-30)).train()
    larger = copy.deepcopy(model)
    with torch.no_grad():
        larger.linear1.weight.mul_(4)
    steps = [0.01, 0.02]
    one, other = (along_step(each, PROBE, steps, relative=True) for each in (model, larger))
    assert torch.allclose(one.kept, other.kept)
    assert torch.allclose(one.cosine, other.cosine)
    one, other = (along_step(each, PROBE, steps) for each in (model, larger))
    assert other.smoothness < 0.6 * one.smoothness


def test_relative_steps_move_each_matrix_by_its_share_and_no_vector() -> None:
    model = perceptron()
    seen = along_step(model, PROBE, [0.01], relative=True)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    expected = 0.01 * torch.stack([matrix.norm() for matrix in matrices]).norm()
    assert torch.allclose(seen.distance[0], expected)


def test_watching_changes_nothing_about_the_training() -> None:
    settings = {"epochs": 1, "lr": 0.05, "progress": False, "seed": 1}
    build = partial(models.mlp, 64, BatchNorm1d)
    course = watch_smoothness(
        build, DIGITS, step_sizes=[0.1], shares=[0.01], every=10, probe=64, **settings
    )
    _, history = fit_repeatably(build, DIGITS, **settings)
    assert course.steps.tolist() == [0, 10, 20]
    assert course.test_accuracy.tolist() == pytest.approx(history.test_accuracy)
    assert course.plain.loss.shape == (3, 2)
    assert course.relative.kept.shape == (3, 1)


@pytest.mark.parametrize("steps", [[], [0.0], [0.1, -0.1]])
def test_steps_must_go_somewhere(steps: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one, all above 0"):
        along_step(perceptron(), PROBE, steps)
