"""What the pictures of half precision show."""

from types import SimpleNamespace

import pytest
import torch
from matplotlib.figure import Figure

from bnlab.plots.mixed_precision import TYPES, draw_spoilt, draw_stored


def spoilt(glitch, steps=5):
    accuracy = torch.linspace(0, 1, steps)
    return SimpleNamespace(
        handling="scaled",
        dtype="float16",
        glitch=glitch,
        train_accuracy=accuracy,
        eval_accuracy=accuracy * (torch.arange(steps) < glitch),
    )


def test_both_modes_are_lines_in_per_cent_and_the_batch_is_marked():
    axes = Figure().subplots()
    artists = draw_spoilt(axes, spoilt(3))
    for glitch in (3, 1):
        artists.update(spoilt(glitch))
        assert artists.train.get_ydata().tolist() == [0, 25, 50, 75, 100]
        assert artists.eval.get_ydata().tolist() == [0, 25, 50, 75, 100][:glitch] + [0] * (
            5 - glitch
        )
        assert list(artists.glitch.get_xdata()) == [glitch, glitch]
    assert axes.get_title(loc="center") or axes.get_title(loc="left") == "scaled, float16"


def test_each_type_is_a_line_of_its_own_look():
    def stored(offset):
        return {
            name: SimpleNamespace(
                dtype=name,
                mean_error=torch.full((20,), 0.1 * place + offset),
                std_error=torch.full((20,), 0.2 * place + offset),
            )
            for place, name in enumerate(TYPES, start=1)
        }

    artists = draw_stored(Figure().subplots(1, 2), stored(0.0))
    artists.update(stored(0.5))
    for place, name in enumerate(TYPES, start=1):
        assert artists.means[name].get_ydata()[-1] == pytest.approx(0.1 * place + 0.5)
        assert artists.stds[name].get_ydata()[-1] == pytest.approx(0.2 * place + 0.5)
        assert list(artists.means[name].get_xdata()) == list(range(1, 21))
    looks = {(line.get_linestyle(), line.get_marker()) for line in artists.means.values()}
    assert len(looks) == 3
