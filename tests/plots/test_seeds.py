"""Repeated runs are drawn with all their spread."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from bnlab.plots.seeds import draw_seeds

RUNS = torch.tensor([[0.1, 0.5, 0.9], [0.3, 0.6, 0.8], [0.2, 0.1, 1.0], [0.2, 0.2, 0.9]])


def test_mean_runs_and_range():
    axes = Figure().subplots()
    artists = draw_seeds(axes, RUNS, [0.1, 1.0, 10.0], label="ours", color="black")
    np.testing.assert_allclose(artists.mean.get_ydata(), RUNS.numpy().mean(axis=0))
    points = set(zip(artists.dots.get_xdata(), artists.dots.get_ydata().tolist(), strict=True))
    assert points == {
        (x, value) for row in RUNS.tolist() for x, value in zip([0.1, 1.0, 10.0], row, strict=True)
    }
    corners = artists.band.get_paths()[0].vertices
    for x, low, high in zip([0.1, 1, 10], [0.1, 0.1, 0.8], [0.3, 0.6, 1.0], strict=True):
        heights = corners[corners[:, 0] == x, 1]
        assert (heights.min(), heights.max()) == pytest.approx((low, high))
    assert axes.get_legend_handles_labels()[1] == ["ours: mean and range of 4 seeds"]


def test_update_moves_to_other_runs():
    artists = draw_seeds(Figure().subplots(), RUNS, [1, 2, 3], label="a", color="black")
    artists.update(RUNS + 1)
    np.testing.assert_allclose(artists.mean.get_ydata(), 1 + RUNS.numpy().mean(axis=0))


def test_a_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r"\(4, 3\).*2 columns"):
        draw_seeds(Figure().subplots(), RUNS, [1, 2], label="a", color="black")
