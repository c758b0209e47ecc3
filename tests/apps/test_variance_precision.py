"""Formulas for a variance, against numpy in float64."""

import numpy as np
import pytest
import torch

from bnlab.apps.variance_precision import MEANS, VariancePrecision


def one_pass(x):
    return (x * x).mean() - x.mean() ** 2


def two_passes(x):
    return (x - x.mean()).square().mean()


@pytest.fixture(scope="module")
def explorer() -> VariancePrecision:
    return VariancePrecision({"one pass": one_pass, "two passes": two_passes})


def test_the_shortcut_breaks_in_float32_and_two_passes_hold(explorer):
    errors = explorer.show(mean=1e4, dtype="float32").errors
    at = MEANS.index(1e4)
    assert errors["one pass"][at] > 0.5
    assert max(errors["two passes"]) < 1e-3
    assert errors["one pass"][0] < 1e-5


def test_the_shortcut_suffers_in_every_dtype_sooner_or_later(explorer):
    largest = [
        max(explorer.show(dtype=dtype).errors["one pass"][: MEANS.index(mean) + 1])
        for dtype, mean in (("bfloat16", 1e2), ("float32", 1e4), ("float64", 1e6))
    ]
    assert largest[0] > 0.5
    assert largest[1] > 0.5
    assert 1e-6 > largest[2] > 1000 * max(explorer.show(dtype="float64").errors["two passes"])


@pytest.mark.parametrize("mean", [10.0, 1e5])
def test_errors_are_measured_against_the_values_as_stored(explorer, mean):
    values = explorer._values(mean, "float32")
    true = np.var(values.double().numpy())
    expected = abs(two_passes(values).double().item() / true - 1)
    found = explorer.show(mean=mean, dtype="float32").errors["two passes"][MEANS.index(mean)]
    assert found == pytest.approx(expected, abs=1e-12)


def test_markers_stand_on_their_lines_at_the_chosen_mean(explorer):
    for mean in (1.0, 1e6):
        result = explorer.show(mean=mean, dtype="float32")
        for line, marker in zip(explorer.artists.lines, explorer.artists.markers, strict=True):
            assert marker.get_xdata()[0] == mean
            assert marker.get_ydata()[0] == line.get_ydata()[result.at]


def test_what_is_no_number_is_called_lost(explorer):
    result = explorer.show(mean=1e6, dtype="float16")
    assert result.words == {"one pass": "lost", "two passes": "lost"}
    assert not result.held
    assert "cannot hold" in explorer.describe(result)
    for line in explorer.artists.lines:
        assert np.isfinite(line.get_ydata()).all()


def test_any_formula_can_be_put_to_the_test():
    explorer = VariancePrecision({"torch": lambda x: torch.var(x, correction=0)}, dtype="float64")
    assert max(explorer.show().errors["torch"]) < 1e-6


def test_the_page_is_light(explorer):
    assert len(explorer._repr_mimebundle_()["text/html"]) < 300_000
