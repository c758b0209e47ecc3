"""Types under autocast, a value too large for them, and what is left of the statistics."""

import copy
import math

import pytest
import torch
from torch import nn

import bnlab
from bnlab import data, models
from bnlab.experiments.mixed_precision import (
    HANDLINGS,
    LayerTypes,
    train_through_glitch,
    types_in,
)

DIGITS = data.digits(flat=True)
LOWER = [torch.float16, torch.bfloat16]
GLITCH, STEPS = 16, 24


@pytest.fixture(scope="module")
def spoilt():
    """One training for each handling in float16; in bfloat16 the most careful one."""
    pairs = [(handling, torch.float16) for handling in HANDLINGS] + [("guarded", torch.bfloat16)]
    return {
        (handling, dtype): train_through_glitch(
            DIGITS, handling, dtype=dtype, glitch=GLITCH, steps=STEPS
        )
        for handling, dtype in pairs
    }


@pytest.mark.parametrize("library", [nn, bnlab], ids=["torch", "bnlab"])
@pytest.mark.parametrize("dtype", LOWER, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_a_norm_under_autocast_takes_half_and_keeps_float32(library, dtype, training):
    model = models.two_layer(library.BatchNorm1d).train(training)
    before = copy.deepcopy(model.state_dict())
    rows = types_in(model, torch.rand(4, 10), autocast=dtype)
    half = str(dtype).removeprefix("torch.")
    assert rows[0] == LayerTypes("linear1", "Linear", "float32", "", "float32", half)
    assert rows[1] == LayerTypes("norm1", "BatchNorm1d", "float32", "float32", half, half)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for row in types_in(model, torch.rand(4, 10)):
        assert {row.parameters, row.input, row.output} == {"float32"}
    halved = types_in(copy.deepcopy(model).to(dtype), torch.rand(4, 10).to(dtype))[1]
    assert {halved.parameters, halved.statistics, halved.input, halved.output} == {half}


@pytest.mark.parametrize("dtype", LOWER, ids=str)
@pytest.mark.parametrize("kind", ["BatchNorm1d", "GroupNorm", "LayerNorm"])
def test_ours_under_autocast_gives_torchs_types_and_numbers(kind, dtype):
    arguments = (2, 6) if kind == "GroupNorm" else (6,)
    shape = (4, 6) if kind == "LayerNorm" else (4, 6, 5)
    theirs, ours = (getattr(library, kind)(*arguments) for library in (nn, bnlab))
    batch = (3 * torch.randn(shape) + 5).to(dtype)
    with torch.autocast("cpu", dtype):
        expected, found = theirs(batch), ours(batch)
    assert found.dtype == expected.dtype == dtype
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict())


def test_a_plain_step_takes_nan_into_the_weights(spoilt):
    result = spoilt["plain", torch.float16]
    assert result.loss[:GLITCH].isfinite().all()
    assert result.loss[GLITCH:].isnan().all()
    assert not result.weights_finite
    assert result.recalibrated is None
    assert set(result.eval_accuracy[GLITCH:].tolist()) == {0}


def test_a_skipped_step_has_moved_the_statistics_and_they_stay_broken(spoilt):
    result = spoilt["scaled", torch.float16]
    assert result.skipped == (GLITCH,)
    assert result.weights_finite
    assert result.loss[GLITCH + 1 :].isfinite().all()
    assert result.counted == STEPS
    assert result.broken[GLITCH - 1] == 0
    assert set(result.broken[GLITCH:].tolist()) == {1}
    assert result.train_accuracy[GLITCH:].min() > 0.9
    assert result.eval_accuracy[GLITCH - 1] > 0.8
    assert set(result.eval_accuracy[GLITCH:].tolist()) == {0}
    assert result.recalibrated > 0.9


def test_a_guard_puts_the_statistics_back(spoilt):
    guarded, scaled = spoilt["guarded", torch.float16], spoilt["scaled", torch.float16]
    assert guarded.broken.sum() == 0
    assert guarded.counted == STEPS - 1
    assert guarded.eval_accuracy[GLITCH] == guarded.eval_accuracy[GLITCH - 1]
    assert guarded.eval_accuracy[GLITCH:].min() > 0.7
    # The weights never depend on the running statistics.
    assert torch.equal(guarded.loss.nan_to_num(), scaled.loss.nan_to_num())


def test_where_the_value_is_finite_no_guard_sees_it(spoilt):
    result = spoilt["guarded", torch.bfloat16]
    assert (result.skipped, result.counted, result.weights_finite) == ((), STEPS, True)
    assert result.broken.sum() == 0
    assert result.train_accuracy[-1] > 0.9
    assert result.eval_accuracy[GLITCH:].max() < 0.5 < result.eval_accuracy[GLITCH - 1]
    assert result.recalibrated > 0.9


def test_the_same_seed_gives_the_same_training_and_leaves_the_generator(spoilt):
    state = torch.get_rng_state()
    again = train_through_glitch(DIGITS, "scaled", glitch=GLITCH, steps=GLITCH + 1)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(again.loss[:GLITCH], spoilt["scaled", torch.float16].loss[:GLITCH])
    assert math.isfinite(again.recalibrated)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"handling": "mended"}, "handling is one of"), ({"glitch": 80}, "a step from 0 to 79")],
)
def test_bad_settings_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        train_through_glitch(DIGITS, **({"handling": "plain"} | arguments))
