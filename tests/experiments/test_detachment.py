"""A right forward pass with a wrong gradient, and what becomes of it."""

import pytest
import torch
from torch import nn

from bnlab import BatchNorm1d, data
from bnlab.experiments.detachment import STATISTICS, DetachedBatchNorm1d, train_detached

BATCH = data.synthetic((16, 3), mean=2.0, std=3.0).double()
ARRIVING = data.synthetic((16, 3), seed=1).double()


def gradient(constant: tuple[str, ...]) -> torch.Tensor:
    leaf = BATCH.clone().requires_grad_()
    (found,) = torch.autograd.grad(DetachedBatchNorm1d(3, constant).double()(leaf), leaf, ARRIVING)
    return found


@pytest.mark.parametrize("constant", [(), ("mean",), ("var",), STATISTICS])
def test_outputs_and_running_statistics_are_those_of_batch_norm(constant) -> None:
    ours, reference = DetachedBatchNorm1d(3, constant).double(), BatchNorm1d(3).double()
    torch.testing.assert_close(ours(BATCH), reference(BATCH))
    for name, buffer in reference.named_buffers():
        torch.testing.assert_close(dict(ours.named_buffers())[name], buffer)
    torch.testing.assert_close(ours.eval()(BATCH), reference.eval()(BATCH))


def test_with_nothing_constant_the_gradient_is_torchs() -> None:
    leaf = BATCH.clone().requires_grad_()
    (expected,) = torch.autograd.grad(nn.BatchNorm1d(3).double()(leaf), leaf, ARRIVING)
    torch.testing.assert_close(gradient(()), expected)


def test_with_both_constant_only_the_first_road_is_left() -> None:
    rstd = (BATCH.var(0, correction=0) + 1e-5).rsqrt()
    torch.testing.assert_close(gradient(STATISTICS), ARRIVING * rstd)


def test_each_statistic_takes_away_its_own_direction() -> None:
    centred = BATCH - BATCH.mean(0)
    assert gradient(("var",)).sum(0).abs().max() < 1e-12
    assert (gradient(("var",)) * centred).sum(0).abs().min() > 1e-2
    assert gradient(("mean",)).sum(0).abs().min() > 1e-2
    assert (gradient(("mean",)) * centred).sum(0).abs().max() < 1e-3


@pytest.mark.parametrize("constant", ["mean", ["median"]])
def test_another_statistic_is_refused(constant) -> None:
    with pytest.raises(ValueError, match="'mean', 'var'"):
        DetachedBatchNorm1d(3, constant)


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.digits(flat=True)


def test_biases_grow_only_if_the_mean_is_constant(digits) -> None:
    for constant in ([], ["var"]):
        assert train_detached(digits, constant, lr=0.1, epochs=1).bias[-1] < 1e-5
    course = train_detached(digits, ["mean"], lr=0.1, epochs=2)
    assert course.bias == sorted(course.bias)
    assert course.bias[-1] > 0.3


def test_weights_grow_if_the_variance_is_constant(digits) -> None:
    whole, wrong = (
        train_detached(digits, constant, lr=0.1, epochs=2).weight for constant in ([], ["var"])
    )
    assert wrong[-1] - wrong[0] > 5 * (whole[-1] - whole[0]) > 0


def test_a_course_is_taken_every_so_many_steps_and_repeats(digits) -> None:
    first, again = (train_detached(digits, [], lr=0.1, epochs=1, every=5) for _ in range(2))
    assert first.steps == [5, 10, 15, 20]
    assert (first.loss, first.weight) == (again.loss, again.weight)
    assert 0.3 < first.accuracy <= 1
    with pytest.raises(ValueError, match="at least 1"):
        train_detached(digits, [], lr=0.1, every=0)
