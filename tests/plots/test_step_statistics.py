"""Sequences that reach a step, and the noise of their mean."""

import torch
from matplotlib.figure import Figure

from bnlab.plots.step_statistics import draw_noise, draw_reach

COUNTS = torch.tensor([[4, 3, 0], [4, 1, 2]])


def test_reach_is_the_mean_inside_the_range():
    ax = Figure().subplots()
    mean = draw_reach(ax, COUNTS)
    assert mean.get_xdata().tolist() == [1, 2, 3]
    assert mean.get_ydata().tolist() == [4, 2, 1]
    corners = {tuple(corner) for corner in ax.collections[0].get_paths()[0].vertices.tolist()}
    assert {(2.0, 1.0), (2.0, 3.0), (3.0, 0.0), (3.0, 2.0)} <= corners
    assert ax.get_legend_handles_labels()[1] == ["mean", "range of 2 batches"]


def test_noise_is_drawn_beside_what_is_expected():
    measured, expected = torch.tensor([0.1, 0.2, torch.nan]), torch.tensor([0.1, 0.25, 0.5])
    points, line = draw_noise(Figure().subplots(), measured, expected)
    assert torch.equal(torch.as_tensor(points.get_ydata())[:2], measured[:2])
    assert torch.equal(torch.as_tensor(line.get_ydata()), expected)
    assert points.get_linestyle() != line.get_linestyle()
