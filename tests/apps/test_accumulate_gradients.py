"""The explorer of accumulated gradients: angles, words, running means, size of the page."""

import warnings

import numpy as np
import pytest
import torch

from bnlab.apps.accumulate_gradients import AccumulateGradients
from bnlab.experiments.accumulation import NORMS, Accumulation
from bnlab.experiments.running_spread import watch_running

MICROS, COUNTS = (2, 4, 8, 16, 32, 64), (1, 4, 16)
NAMES = ("linear1.weight", "linear2.weight", "output.weight")


def result(norm, micro, count):
    """Numbers that tell every state apart; all but batch norm have none."""
    off = 0.0 if norm != "batch" else (count - 1) / (count * micro)
    angles = off * torch.tensor([[40.0, 30.0, 20.0], [44.0, 32.0, 21.0]])
    values = torch.linspace(-2, 2, 50, dtype=torch.float64)[:, None]
    running = watch_running(values, micro, count) if "batch" in norm else None
    return Accumulation(norm, micro, count, angles, angles / 50, NAMES, running)


@pytest.fixture(scope="module")
def explorer():
    return AccumulateGradients(
        {(n, m, k): result(n, m, k) for n in NORMS for m in MICROS for k in COUNTS}
    )


def test_angles_over_all_sizes_and_the_words_at_one(explorer):
    explorer.show(norm="batch", micro=8, count=4)
    artists = explorer.artists
    for place, matrix in enumerate(("linear1", "linear2", "output")):
        angles = torch.stack([result("batch", m, 4).angle[:, place] for m in MICROS])
        np.testing.assert_allclose(artists.means[place].get_ydata(), angles.mean(1))
        np.testing.assert_allclose(artists.dots[place].get_ydata(), angles.flatten())
        here = angles[MICROS.index(8)].mean()
        words = f"{matrix}: {here:.0f}°, off by {100 * here / 50:.0f} %"
        assert artists.words[place].get_text().endswith(words)
    assert artists.cursor.get_xdata() == [8, 8]


def test_equal_gradients_are_called_equal(explorer):
    sentence = explorer.describe(explorer.show(norm="ghost batch", micro=4, count=16))
    assert "one batch of 64, normalised in groups of 4: gradients equal" in sentence
    assert all(text.get_text().endswith(": equal") for text in explorer.artists.words)


def test_running_means_are_drawn_where_there_are_some(explorer):
    artists = explorer.artists
    shown = explorer.show(norm="batch", micro=4, count=16)
    for name, line in artists.courses.items():
        course = getattr(shown.running, name)
        np.testing.assert_allclose(line.get_ydata(), course.values)
        assert artists.spreads[name].get_text().endswith(f"spread {course.spread:.3f}")
        low, high = line.axes.get_ylim()
        assert low < course.values.min() < course.values.max() < high
    assert not artists.nothing.get_visible()
    explorer.show(norm="none")
    hidden = [*artists.courses.values(), *artists.keys.values(), *artists.spreads.values()]
    assert not any(artist.get_visible() for artist in hidden)
    assert artists.nothing.get_visible()


def test_the_caption_says_angles_and_spreads(explorer):
    shown = explorer.show(norm="batch", micro=2, count=16)
    sentence = explorer.describe(shown)
    assert sentence.startswith("Batch norm, 16 micro-batches of 2 beside one batch of 32: ")
    assert f"spread by {shown.running.accumulated.spread:.3f} σ" in sentence
    assert explorer.describe(explorer.show(norm="group")).endswith("; no running statistics.")


def test_every_state_draws_without_a_warning_in_a_small_page(explorer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = explorer._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
