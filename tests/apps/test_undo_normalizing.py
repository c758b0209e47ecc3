"""From normalised values back to where they came from."""

import numpy as np
import pytest
import torch

from bnlab import data
from bnlab.apps.undo_normalizing import UndoNormalizing


@pytest.fixture(scope="module")
def explorer() -> UndoNormalizing:
    return UndoNormalizing()


@pytest.fixture(scope="module")
def before() -> torch.Tensor:
    return data.synthetic((512,), mean=2.0, std=2.5, seed=1).double()


def test_it_starts_normalised_and_nearly_straight(explorer, before):
    result = explorer.show(way=0)
    expected = (before - before.mean()) / (before.var(correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(result.output, expected)
    assert result.straight == pytest.approx((expected.abs() < 1.5).double().mean().item())
    assert result.straight > 0.8


@pytest.mark.parametrize(("gamma", "low", "high"), [("√(σ² + ε)", 0, 1e-13), ("σ", 1e-7, 1e-4)])
def test_it_ends_at_the_identity_if_epsilon_is_accounted_for(explorer, before, gamma, low, high):
    result = explorer.show(way=100, gamma=gamma)
    distance = (result.output - before).abs().max().item()
    assert low <= distance <= high
    assert result.distances[-1].item() == pytest.approx(distance)
    assert result.beta == pytest.approx(before.mean().item())
    assert result.straight < 0.5


def test_the_marker_walks_along_the_line(explorer):
    heights = []
    for values in explorer.states():
        if values["gamma"] == "σ":
            explorer.show(**values)
            marker, line = explorer.artists.marker, explorer.artists.line
            assert marker.get_xdata()[0] == pytest.approx(values["way"] / 100)
            on_line = np.interp(marker.get_xdata(), line.get_xdata(), line.get_ydata())
            np.testing.assert_allclose(marker.get_ydata(), on_line)
            heights.append(marker.get_ydata()[0])
    assert heights == sorted(heights, reverse=True)


def test_the_histogram_holds_nearly_all_values(explorer):
    for way in (0, 50, 100):
        result = explorer.show(way=way)
        assert (result.output.abs() < 9).double().mean() > 0.99
        assert explorer.artists.steps.get_data().values.max() == pytest.approx(1)


def test_the_page_is_light(explorer):
    assert len(explorer._repr_mimebundle_()["text/html"]) < 300_000
