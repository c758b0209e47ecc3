"""What is drawn of each process, and of the batch of all."""

import warnings
from types import SimpleNamespace

import pytest
import torch
from matplotlib.figure import Figure

from bnlab.plots.processes import draw_processes


def make(processes: int, seed: int) -> SimpleNamespace:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    runs = {name: SimpleNamespace(loss=draw(5)) for name in ("one", "each", "together")}
    return SimpleNamespace(
        shares=tuple(range(processes)),
        mean=draw(processes, 40),
        var=draw(processes, 40),
        joint_mean=draw(40),
        joint_var=draw(40),
        runs=runs,
    )


@pytest.mark.parametrize("processes", [2, 4])
def test_dots_and_lines_are_the_results(processes):
    first, second = (make(processes, seed) for seed in (0, 1))
    # A process without samples has no moments, and no dots.
    second.mean[0] = second.var[0] = torch.nan
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    artists = draw_processes(figure.subplots(1, 3), first, units=9)
    for result in (first, second):
        artists.update(result)
        with warnings.catch_warnings(action="error"):
            figure.canvas.draw()
        pairs = ((result.mean, result.joint_mean), (result.var**0.5, result.joint_var**0.5))
        for points, line, (alone, joint) in zip(artists.alone, artists.joint, pairs, strict=True):
            shown = joint.sort().values[[0, 5, 10, 15, 20, 24, 29, 34, 39]]
            torch.testing.assert_close(torch.tensor(line.get_ydata()), shown)
            assert len(points) == processes
            for dots, values in zip(points, alone, strict=True):
                seen = torch.tensor(dots.get_ydata())
                rows = [int((joint == each).nonzero()) for each in shown]
                torch.testing.assert_close(seen, values[rows], equal_nan=True)
        for name, line in artists.losses.items():
            assert line.get_ydata().tolist() == result.runs[name].loss.tolist()


def test_nobody_is_told_by_colour_alone():
    axes = Figure(layout="constrained").subplots(1, 3)
    artists = draw_processes(axes, make(4, 0))
    assert len({dots.get_marker() for dots in artists.alone[0]}) == 4
    assert len({(c.get_linestyle(), c.get_linewidth()) for c in artists.losses.values()}) == 3
    labels = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert labels == ["all 6 digits", *[f"process {n}: {n} of them" for n in range(4)]]
