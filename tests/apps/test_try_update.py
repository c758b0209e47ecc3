"""Two running updates for every momentum."""

import warnings

import pytest
import torch

from bnlab import data
from bnlab.apps.try_update import TryUpdate


def right(running_mean, running_var, x, momentum):
    return running_mean.lerp(x.mean(0), momentum), running_var.lerp(x.var(0), momentum)


def reversed_(running_mean, running_var, x, momentum):
    return right(running_mean, running_var, x, 1 - momentum)


def in_place(running_mean, _, x, momentum):
    running_mean.lerp_(x.mean(0), momentum)


@pytest.fixture(scope="module")
def pixel():
    return data.digits(flat=True).train.inputs[:, [20]]


def test_the_path_is_the_moving_average(pixel):
    explorer = TryUpdate(right, in_place, pixel)
    result = explorer.show(momentum=0.3)
    running, path = torch.zeros(()), [0.0]
    for batch in pixel[:, 0].split(16):
        running = 0.7 * running + 0.3 * batch.mean()
        path.append(running.item())
    for line in (explorer.artists.right, explorer.artists.yours):
        assert line.get_ydata().tolist() == pytest.approx(path, abs=1e-5)
    assert result.same


def test_reversed_agrees_at_one_half_alone(pixel):
    explorer = TryUpdate(right, reversed_, pixel)
    agreeing = [state["momentum"] for state in explorer.states() if explorer.show(**state).same]
    assert agreeing == [0.5]


def test_no_path_leaves_the_axes(pixel):
    explorer = TryUpdate(right, reversed_, pixel)
    low, high = explorer.figure.axes[0].get_ylim()
    for state in explorer.states():
        result = explorer.show(**state)
        assert low < result.right.min() <= result.right.max() < high


@pytest.mark.parametrize("code", [reversed_, None])
def test_every_state_draws_without_a_warning_in_a_small_page(pixel, code):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explorer = TryUpdate(right, code, pixel)
        page = explorer._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
    sentence = explorer.describe(explorer.show())
    assert sentence.endswith(".")
    assert ("raises TypeError" in sentence) == (code is None)
