"""Shifted digits, and three kinds of statistics to answer them with."""

import copy

import pytest
import torch

import bnlab
from bnlab import data, models
from bnlab.data import Dataset, Split
from bnlab.experiments.fine_tuning import BATCHES, SHIFTS, STATISTICS, answer_shifted, shift
from bnlab.training import fit_repeatably

DIGITS = data.digits(flat=True)
SMALL = Dataset(
    DIGITS.train, Split(DIGITS.test.inputs[:90], DIGITS.test.targets[:90]), DIGITS.classes
)
STRENGTHS = [0.0, 0.4, 1.0]


@pytest.fixture(scope="module")
def model():
    def build():
        return models.mlp(64, bnlab.BatchNorm1d)

    trained, _ = fit_repeatably(build, DIGITS, epochs=3, lr=0.05, progress=False)
    return trained.float()


@pytest.fixture(scope="module")
def results(model):
    return answer_shifted(model, SMALL, STRENGTHS)


@pytest.mark.parametrize("kind", SHIFTS)
def test_shifts_start_at_nothing_and_stay_between_paper_and_ink(kind):
    inputs = DIGITS.test.inputs
    assert torch.equal(shift(inputs, kind, 0), inputs)
    far = shift(inputs, kind, 1)
    assert far.min() >= 0
    assert far.max() <= 1
    assert not torch.equal(far, inputs)
    assert torch.equal(shift(inputs.double(), kind, 1).float(), far) or kind != "noise"


def test_full_strength_is_what_the_formulas_say():
    line = torch.tensor([0.0, 0.5, 1.0])
    for kind, expected in (
        ("fainter ink", [0, 0.05, 0.1]),
        ("grey paper", [0.9, 0.95, 1]),
        ("inverted", [1, 0.5, 0]),
    ):
        torch.testing.assert_close(shift(line, kind, 1), torch.tensor(expected).float())


def test_answers_are_the_networks_in_eval_in_train_and_recalibrated(model, results):
    inputs = shift(SMALL.test.inputs, "noise", 0.4)
    rows = torch.arange(90).split(45)
    frozen, anew = (copy.deepcopy(model).eval() for _ in range(2))
    bnlab.recalibrate(anew, shift(SMALL.train.inputs, "noise", 0.4, seed=1).split(64))
    live = torch.cat([copy.deepcopy(model).train()(inputs[batch]) for batch in rows])
    found = results["noise", 0.4, "45 mixed digits"].answers
    for name, logits in zip(STATISTICS, (frozen(inputs), live, anew(inputs)), strict=True):
        torch.testing.assert_close(found[name].logits, logits, rtol=1e-3, atol=1e-3)
        right = (found[name].logits.argmax(1) == SMALL.test.targets).double().mean()
        assert found[name].accuracy == right.item()


def test_statistics_of_now_undo_what_is_affine_and_nothing_else(results):
    def share(kind, strength, statistics, batches="45 mixed digits"):
        return results[kind, strength, batches].answers[statistics].accuracy

    clean = share("noise", 0.0, "recalibrated")
    assert clean > 0.9
    for kind in ("fainter ink", "grey paper"):
        assert share(kind, 1.0, "frozen") < 0.5
        assert share(kind, 1.0, "recalibrated") == pytest.approx(clean, abs=0.03)
    assert share("inverted", 1.0, "recalibrated") < 0.2
    assert share("noise", 1.0, "recalibrated") < 0.6
    # And live ones depend on the company.
    assert share("noise", 0.0, "live", "3 mixed digits") < clean - 0.1
    assert share("noise", 0.0, "live", "one class at a time") < 0.3


def test_channels_are_told_by_the_running_statistics(model, results):
    arriving = model.linear1(shift(SMALL.test.inputs, "grey paper", 0.4))
    norm = model.norm1
    expected = (arriving.mean(0) - norm.running_mean) / norm.running_var.sqrt()
    for batches, rows in (("45 mixed digits", range(45)), ("3 mixed digits", range(3))):
        found = results["grey paper", 0.4, batches]
        torch.testing.assert_close(found.domain.mean, expected, rtol=1e-3, atol=1e-4)
        std = arriving[list(rows)].std(0, correction=0) / norm.running_var.sqrt()
        torch.testing.assert_close(found.batch.std, std, rtol=1e-3, atol=1e-4)


def test_the_network_stays_as_it_is(model):
    before, mode = copy.deepcopy(model.state_dict()), model.training
    results = answer_shifted(model, SMALL, [0.5], kinds=["noise"], batches=["one class at a time"])
    assert list(results) == [("noise", 0.5, "one class at a time")]
    assert model.training is mode
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())


@pytest.mark.parametrize(("kind", "strength"), [("blur", 0.5), ("noise", -0.1), ("noise", 1.1)])
def test_another_shift_is_refused(kind, strength):
    with pytest.raises(ValueError, match="kind is one of"):
        shift(torch.zeros(2), kind, strength)


def test_batches_have_the_sizes_that_their_names_say():
    assert [int(name.split()[0]) for name, size in BATCHES.items() if size] == [45, 3]
