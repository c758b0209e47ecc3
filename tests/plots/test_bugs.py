"""Two codes in one frame: what is drawn, what is said, and what happens without an answer."""

import warnings

import pytest
import torch
from matplotlib.figure import Figure

from bnlab.experiments.beside import Beside
from bnlab.plots.bugs import draw_answers, draw_beside, draw_channels, draw_maps

AGREES, DIFFERS = "✓ your code agrees", "✗ your code differs"


def pair(right, yours=None, trouble=""):
    right = torch.as_tensor(right)
    return Beside(right, torch.full_like(right, torch.nan) if yours is None else yours, trouble)


def texts(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


def test_lines_lie_where_the_values_are():
    found = pair([1.0, 2.0], torch.tensor([1.0, 3.0]))
    artists = draw_beside(Figure().subplots(), range(2), found)
    assert artists.right.get_ydata().tolist() == [1, 2]
    assert artists.yours.get_ydata().tolist() == [1, 3]
    assert artists.right.get_marker() != artists.yours.get_marker()
    assert artists.right.get_linewidth() > 2 * artists.yours.get_linewidth()
    assert artists.yours.get_zorder() >= artists.right.get_zorder()
    assert artists.note.agreement.get_text() == DIFFERS


def test_the_note_follows_the_code():
    ax = Figure().subplots()
    artists = draw_beside(ax, range(2), pair([1.0, 2.0]))
    artists.update(pair([1.0, 2.0], torch.tensor([1.0, 2.0])))
    assert texts(ax) == [AGREES]
    artists.update(pair([1.0, 2.0], trouble="Your code raises ValueError: no"))
    assert texts(ax) == [DIFFERS, "Your code raises ValueError: no"]


def test_marks_and_lines_can_be_left_out():
    found = pair([1.0, 2.0], torch.tensor([1.0, 3.0]))
    assert draw_beside(Figure().subplots(), ["a", "b"], found, marks=False).yours.get_marker() == ""
    scattered = draw_beside(Figure().subplots(), torch.tensor([0.5, 0.1]), found, lines=False)
    assert scattered.yours.get_linestyle() == "None"
    assert scattered.yours.get_xdata().tolist() == pytest.approx([0.5, 0.1])


def test_counted_places_have_whole_ticks():
    ax = Figure().subplots()
    draw_beside(ax, range(4), pair([1.0, 2.0, 3.0, 4.0]))
    assert all(tick == int(tick) for tick in ax.get_xticks())


def test_maps_share_one_scale():
    right = torch.arange(4.0).view(2, 2)
    images = draw_maps(Figure().subplots(1, 2), pair(right, right * 3), label="value")
    assert {image.get_clim() for image in images} == {(0, 9)}
    torch.testing.assert_close(torch.tensor(images[1].get_array()), right * 3)


def test_channels_stand_at_their_means():
    found = pair(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.tensor([[2.0, -1.0], [0.5, 0.1]]))
    right, yours = draw_channels(Figure().subplots(), found)
    assert right.get_ydata().tolist() == [0, 0]
    assert yours.get_ydata().tolist() == [2, -1]
    assert (yours.get_xdata() > right.get_xdata()).all()


def test_answers_frame_the_highest_logit_of_each_batch():
    right, yours = torch.tensor([[1.0, 2.0], [1.0, 2.0]]), torch.tensor([[1.0, 2.0], [4.0, 3.0]])
    axes = Figure().subplots(1, 2)
    drawn = draw_answers(axes, pair(right, yours), ["cat", "dog"])
    assert drawn[1].get_ydata().tolist() == [1, 2, 4, 3]
    frames = axes[1].lines[1]
    assert list(zip(frames.get_xdata(), frames.get_ydata(), strict=True)) == [(1, 2), (0, 4)]
    assert [tick.get_text() for tick in axes[0].get_xticklabels()] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("draw", "shape", "panels"),
    [
        (lambda ax, found: draw_beside(ax[0], range(3), found), (3,), 1),
        (lambda ax, found: draw_maps(ax, found, label="value"), (2, 2), 2),
        (lambda ax, found: draw_channels(ax[0], found), (2, 3), 1),
        (lambda ax, found: draw_answers(ax, found, "abc"), (2, 3), 2),
    ],
)
@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e30])
def test_nothing_to_draw_is_drawn_without_a_warning(draw, shape, panels, value):
    figure = Figure(figsize=(8, 4))
    axes = figure.subplots(1, panels, squeeze=False)[0]
    right = torch.zeros(shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(axes, Beside(right, right + value, "Your code raises TypeError: no"))
        figure.canvas.draw()
    assert "Your code raises TypeError: no" in texts(axes[-1])
