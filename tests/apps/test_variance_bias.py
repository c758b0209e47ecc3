"""Biased for normalising, unbiased for storing."""

import warnings

import pytest
import torch

from bnlab.apps.variance_bias import VarianceBias


@pytest.mark.parametrize("n", [2, 3, 8, 64])
def test_the_estimates_differ_by_n_over_n_minus_1(n: int) -> None:
    explorer = VarianceBias()
    result = explorer.show(n=n)
    torch.testing.assert_close(result.unbiased, result.biased * n / (n - 1))
    assert result.unbiased.mean().item() == pytest.approx(1.0, abs=0.05)
    assert result.biased.mean().item() == pytest.approx((n - 1) / n, abs=0.05)


def test_lines_and_words_stand_at_the_means() -> None:
    explorer = VarianceBias()
    result = explorer.show(n=2)
    for line, text, values in zip(
        explorer.artists.means,
        explorer.artists.texts,
        (result.biased, result.unbiased),
        strict=True,
    ):
        assert line.get_xdata()[0] == pytest.approx(values.mean().item())
        assert text.get_text() == f"mean {values.mean().item():.2f}"


def test_histograms_count_every_batch() -> None:
    explorer = VarianceBias()
    for n in (2, 64):
        explorer.show(n=n)
        for steps in explorer.artists.steps:
            assert steps.get_data().values.sum() == pytest.approx(100, abs=1e-3)


def test_no_bar_leaves_the_axes() -> None:
    explorer = VarianceBias()
    top = explorer.figure.axes[0].get_ylim()[1]
    for values in explorer.states():
        explorer.show(**values)
        assert max(steps.get_data().values.max() for steps in explorer.artists.steps) <= top


def test_every_state_draws_without_a_warning_in_a_small_page() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = VarianceBias()._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
