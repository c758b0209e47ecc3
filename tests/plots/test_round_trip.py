"""Readings before and after a file: frames, bars, errors, curves."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from bnlab.plots.round_trip import BAR, WIDE, dots, draw_round_trip, fold

TARGETS = torch.tensor([2, 0, 1, 1])
ROWS = torch.tensor([1, 2, 0])


def answers(read, seed=0):
    """Logits with these as the highest, and some statistics."""
    draw = torch.Generator().manual_seed(seed)
    logits = 10 * torch.nn.functional.one_hot(torch.tensor(read), 3) + torch.rand(
        4, 3, generator=draw
    )
    right = (torch.tensor(read) == TARGETS).double().mean().item()
    mean, var = torch.rand(2, 5, generator=draw)
    return SimpleNamespace(logits=logits, accuracy=right, mean=mean, var=var)


ORIGINAL, BEFORE, ASKED, AGAIN = (
    answers([2, 0, 1, 1]),
    answers([2, 0, 1, 0], seed=1),
    answers([0, 0, 2, 1], seed=2),
    answers([2, 1, 1, 1], seed=3),
)
LOADED = SimpleNamespace(
    mode="train",
    batches="mixed",
    refused="",
    original=ORIGINAL,
    before=BEFORE,
    answers=ASKED,
    afterwards=AGAIN,
)
REFUSED = SimpleNamespace(
    mode="eval",
    batches="one at a time",
    refused="model.pt: no\n- missing: " + "norm.running_mean, " * 30,
    original=ORIGINAL,
    before=None,
    answers=None,
    afterwards=None,
)


@pytest.fixture
def artists():
    axes = Figure().subplots(2, 2).flat
    return draw_round_trip(
        tuple(axes), REFUSED, torch.rand(3, 8, 8), TARGETS, ROWS,
        logits=(0, 11), mean=(0, 1), var=(0, 1),
    )  # fmt: skip


def test_each_row_reads_its_own_answers_and_frames_mistakes(artists):
    artists.update(LOADED)
    readings = [[text.get_text() for text in line.readings] for line in artists.lines]
    assert readings == [["0", "1", "2"], ["0", "2", "0"], ["1", "1", "2"]]
    frames = [list(line.mistakes.get_xdata()) for line in artists.lines]
    assert frames == [[], [1.5, 2.5], [0.5]]
    assert [line.bar.get_width() / BAR for line in artists.lines] == [1, 0.5, 0.75]
    assert [line.share.get_text() for line in artists.lines] == ["100.0 %", "50.0 %", "75.0 %"]
    assert [line.name.get_text() for line in artists.lines][1] == "loaded, train()"
    assert artists.heading.get_text() == "accuracy, mixed"


def test_points_are_the_logits_of_the_digits_shown(artists):
    artists.update(LOADED)
    x, y = (np.asarray(values)[::3] for values in artists.points.get_data())
    np.testing.assert_allclose(x, ORIGINAL.logits[ROWS].flatten())
    np.testing.assert_allclose(y, ASKED.logits[ROWS].flatten())


@pytest.mark.parametrize("name", ["mean", "var"])
def test_curves_are_the_statistics_in_the_order_of_the_saved_ones(artists, name):
    artists.update(LOADED)
    order = getattr(ORIGINAL, name).argsort()
    for curve, stage in zip(artists.statistics[name], (ORIGINAL, BEFORE, AGAIN), strict=True):
        np.testing.assert_allclose(curve.get_ydata(), getattr(stage, name)[order])
        assert curve.get_visible()


def test_an_error_takes_the_place_of_all_but_the_first_row(artists):
    for result, loaded in ((LOADED, True), (REFUSED, False), (LOADED, True)):
        artists.update(result)
        assert [line.bar.get_visible() for line in artists.lines] == [True, loaded, loaded]
        assert [panel.get_visible() for panel in artists.panels] == [loaded] * 3
        assert artists.points.get_visible() == loaded
        assert bool(artists.error.get_text()) != loaded


def test_a_message_is_folded_into_short_lines_without_indents():
    lines = fold(REFUSED.refused + "\n\t  tabs").split("\n")
    assert lines[:2] == ["Refused:", "model.pt: no"]
    assert lines[-1] == "tabs"
    assert max(map(len, lines)) <= WIDE
    assert fold("") == ""


def test_dots_are_short_strokes_with_gaps():
    x, y = dots(torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]]))
    np.testing.assert_allclose(x[[0, 3]], [1, 2])
    np.testing.assert_allclose(y, [3, 3, np.nan, 4, 4, np.nan])
