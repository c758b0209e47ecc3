"""Accuracy against batch size, and offsets by channel."""

import matplotlib
import pytest
import torch
from matplotlib.figure import Figure

from bnlab.plots.channel_statistics import draw_offsets
from bnlab.plots.statistics_gap import draw_gap


def test_gap_draws_the_mean_over_seeds() -> None:
    accuracy = torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(0))
    ax = Figure().subplots()
    lines = draw_gap(ax, (2, 64), accuracy)
    for kind, line in enumerate(lines):
        assert line.get_ydata().tolist() == pytest.approx(accuracy[..., kind].mean(1).tolist())


def test_gap_tells_its_lines_apart_without_colour() -> None:
    lines = draw_gap(Figure().subplots(), (2, 64), torch.rand(2, 5, 3))
    assert len({line.get_marker() for line in lines}) == 3
    assert len({matplotlib.colors.to_hex(line.get_color()) for line in lines}) == 3


def test_offsets_keep_channels_together() -> None:
    first, second = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([30.0, 10.0, 20.0])
    lines = draw_offsets(Figure().subplots(), {"one": first, "other": second})
    assert lines[0].get_ydata().tolist() == [1.0, 2.0, 3.0]
    assert lines[1].get_ydata().tolist() == [10.0, 20.0, 30.0]
