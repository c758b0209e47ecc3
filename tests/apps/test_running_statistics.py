"""Running statistics warm up as the formula says."""

import itertools
import warnings

import pytest
import torch

from bnlab import BatchNorm1d
from bnlab.apps.running_statistics import CHANNELS, MEAN, STD, RunningStatistics


@pytest.mark.parametrize("momentum", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("steps", [0, 1, 30])
def test_expectation_is_the_closed_form(momentum: float, steps: int) -> None:
    explorer = RunningStatistics()
    explorer.control("momentum").value = momentum
    explorer.control("steps").value = steps
    result = explorer.show(**explorer.values)
    left = (1 - momentum) ** steps
    assert result.start_left == pytest.approx(left, abs=1e-5)
    assert result.mean.expected[-1].item() == pytest.approx(MEAN * (1 - left), abs=1e-4)
    expected_var = left + STD**2 * (1 - left)
    assert result.var.expected[-1].item() == pytest.approx(expected_var, abs=1e-4)


def test_paths_are_the_layers_buffers() -> None:
    explorer = RunningStatistics(momentum=0.3, steps=20, batch_size=8)
    result = explorer.show()
    layer = BatchNorm1d(CHANNELS, momentum=0.3)
    for batch in explorer.samples[:20, :8]:
        layer(batch)
    torch.testing.assert_close(result.mean.paths[-1], layer.running_mean)
    torch.testing.assert_close(result.var.paths[-1], layer.running_var)


def test_lines_move_with_the_controls() -> None:
    explorer = RunningStatistics()
    explorer.control("steps").value = 20
    first = explorer.artists.mean.first
    assert len(first.get_xdata()) == 21
    before = first.get_ydata()[-1]
    explorer.control("momentum").value = 0.01
    assert first.get_ydata()[-1] < before
    assert "After 20 steps" in explorer.sentence


def test_extremes_draw_without_a_warning() -> None:
    explorer = RunningStatistics()
    ends = [(c.values[0], c.values[-1]) for c in explorer.controls]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for momentum, steps, size in itertools.product(*ends):
            explorer.show(momentum=momentum, steps=steps, batch_size=size)
            assert explorer.layers.svg_moving()
