"""Two forward passes on values of any mean."""

import warnings

import pytest
import torch
from torch.nn.functional import batch_norm

from bnlab.apps.try_forward import TryForward


def right(x, weight, bias, eps):
    return batch_norm(x, None, None, weight, bias, training=True, eps=eps)


def shortcut(x, weight, bias, eps):
    mean = x.mean(0)
    return (x - mean) / torch.sqrt((x**2).mean(0) - mean**2 + eps) * weight + bias


def unbiased(x, weight, bias, eps):
    return (x - x.mean(0)) / torch.sqrt(x.var(0) + eps) * weight + bias


def fails(*_):
    raise ValueError("no idea")


@pytest.mark.parametrize("mean", [0.0, 1e4, 101_325.0])
def test_marks_lie_where_the_values_are(mean):
    explorer = TryForward(right, right)
    explorer.show(mean=mean, n=16)
    for line in (explorer.artists.right, explorer.artists.yours):
        x = torch.as_tensor(line.get_xdata())
        assert x.mean().abs() < 1e-6
        expected = x / x.std(correction=0)
        torch.testing.assert_close(
            torch.as_tensor(line.get_ydata()).double(), expected, atol=0.03, rtol=0
        )
    assert explorer.artists.note.agreement.get_text().startswith("✓")


def test_a_shortcut_breaks_where_the_mean_is_large():
    explorer = TryForward(right, shortcut)
    near, far = (explorer.show(mean=mean).pair for mean in (10.0, 101_325.0))
    assert near.same
    assert not far.same
    assert explorer.artists.note.agreement.get_text().startswith("✗")
    assert "right: std 1.000" in explorer.artists.spreads[0].get_text()


def test_the_spread_is_said_in_words():
    explorer = TryForward(right, unbiased, n=2, mean=0.0)
    result = explorer.show()
    assert explorer.artists.spreads[1].get_text() == "your code: std 0.707"
    assert "right is a spread of 1.000; your code gives a spread of 0.707" in explorer.describe(
        result
    )


def test_nan_is_counted():
    explorer = TryForward(right, lambda x, weight, bias, eps: right(x, weight, bias, eps) / 0 * 0)
    assert "64 NaN" in explorer.describe(explorer.show())
    assert explorer.artists.spreads[1].get_text() == "your code: 64 of 64 are NaN"


@pytest.mark.parametrize("code", [shortcut, fails])
def test_every_state_draws_without_a_warning_in_a_small_page(code):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explorer = TryForward(right, code)
        page = explorer._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
    if code is fails:
        assert "Your code raises ValueError: no idea" in explorer.describe(explorer.show())
        said = explorer.artists.note.trouble.get_text()
        assert " ".join(said.split()) == "Your code raises ValueError: no idea"
