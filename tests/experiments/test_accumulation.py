"""Added gradients against the large batch's, ghost batches, running means."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bnlab import data
from bnlab.data import Dataset, Split
from bnlab.experiments.accumulation import (
    FACTORIES,
    NORMS,
    angle,
    compare_accumulation,
    gradient,
    train_networks,
)
from bnlab.experiments.running_spread import adapt_momentum, standardised_inputs, watch_running
from bnlab.models import mlp
from bnlab.models.ghost import in_ghost_batches

DIGITS = data.digits(flat=True)
SMALL = Dataset(
    Split(DIGITS.train.inputs[:128], DIGITS.train.targets[:128]), DIGITS.test, DIGITS.classes
)
MICROS, COUNTS = [2, 8], [1, 4]


@pytest.fixture(scope="module")
def networks():
    return train_networks(SMALL)


@pytest.fixture(scope="module")
def results(networks):
    return compare_accumulation(networks, SMALL, MICROS, COUNTS, draws=2)


@pytest.mark.parametrize("norm", FACTORIES)
@pytest.mark.parametrize("micro", [None, 4])
def test_the_gradient_is_the_one_that_backward_adds_up(networks, norm, micro):
    model, other = (copy.deepcopy(networks[norm]).train() for _ in range(2))
    inputs, targets = SMALL.train.inputs[:16].double(), SMALL.train.targets[:16]
    found = gradient(model, inputs, targets, micro=micro)
    size = micro or 16
    for some, classes in zip(inputs.split(size), targets.split(size), strict=True):
        (cross_entropy(other(some), classes) / (16 // size)).backward()
    for name, weight in other.named_parameters():
        torch.testing.assert_close(found[name], weight.grad)
    assert all(weight.grad is None for weight in model.parameters())


def test_only_batch_norm_makes_a_sum_of_micro_batches_another_gradient(results):
    assert set(results) == {(norm, m, k) for norm in NORMS for m in MICROS for k in COUNTS}
    for (norm, _, count), found in results.items():
        assert found.angle.shape == found.error.shape == (2, 3)
        assert found.matrices == ("linear1.weight", "linear2.weight", "output.weight")
        equal = norm != "batch" or count == 1
        assert bool((found.error < 1e-10).all()) is equal
        assert bool((found.angle > 10).all()) is not equal
        assert (found.running is None) is (norm in ("group", "none"))


def test_accumulation_trains_like_ghost_batches_step_by_step(networks):
    adding = copy.deepcopy(networks["batch"]).train()
    ghostly = in_ghost_batches(adding, 4)
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (adding, ghostly)]
    for rows in torch.arange(96).split(32):
        inputs, targets = SMALL.train.inputs[rows].double(), SMALL.train.targets[rows]
        for optimizer in optimizers:
            optimizer.zero_grad()
        for some in rows.split(4):
            part = cross_entropy(adding(inputs[some - rows[0]]), targets[some - rows[0]])
            (part / 8).backward()
        cross_entropy(ghostly(inputs), targets).backward()
        for optimizer in optimizers:
            optimizer.step()
    one, other = (list(each.state_dict().values()) for each in (adding, ghostly))
    torch.testing.assert_close(one, other)


def test_the_networks_stay_as_they_are(networks):
    before = copy.deepcopy(networks["batch"].state_dict())
    compare_accumulation(networks, SMALL, [2], [2], draws=1)
    after = networks["batch"].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("degrees", [0.0, 1e-6, 45.0, 180.0])
def test_angles_are_exact_also_where_they_are_small(degrees):
    turned = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    one, other = torch.tensor([3.0, 0.0]).double(), torch.stack((turned.cos(), turned.sin()))
    assert angle(one, other) == pytest.approx(degrees, rel=1e-6)


def test_running_means_spread_as_the_formula_says():
    values = torch.randn(500, 64, generator=torch.Generator().manual_seed(0)).double()
    values = (values - values.mean(0)) / values.std(0)
    running = watch_running(values, 4, 9)
    formula = (0.1 / 1.9 / 36) ** 0.5
    assert running.large.spread == pytest.approx(formula, rel=0.1)
    assert running.adapted.spread == pytest.approx(formula, rel=0.1)
    # Nine updates leave the mean of about the last nineteen micro-batches.
    assert running.accumulated.spread == pytest.approx(3 * formula, rel=0.1)


def test_courses_are_those_of_a_batch_norm(networks):
    values = standardised_inputs(networks["batch"], SMALL.train.inputs.double())
    running = watch_running(values, 4, 2, steps=50, shown=50)
    rows = torch.randint(128, (50, 2, 4), generator=torch.Generator().manual_seed(0))
    norms = {"large": 0.1, "accumulated": 0.1, "adapted": adapt_momentum(0.1, 2)}
    for name, momentum in norms.items():
        norm = nn.BatchNorm1d(128, momentum=momentum).double()
        course = []
        for step in rows:
            for batch in [step.flatten()] if name == "large" else step:
                norm(values[batch])
            course.append(norm.running_mean[0].item())
        assert getattr(running, name).values.tolist() == pytest.approx(course)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda: gradient(mlp(64), SMALL.train.inputs, SMALL.train.targets, micro=3), "divide"),
        (lambda: compare_accumulation({}, SMALL, [64], [16]), "more than the 128"),
    ],
)
def test_what_cannot_be_added_up_is_refused(bad, words):
    with pytest.raises(ValueError, match=words):
        bad()
