"""The first explorer: the picture is the arithmetic's."""

import numpy as np
import pytest

from bnlab.apps.normalize_batch import NormalizeBatch


@pytest.fixture(scope="module")
def explorer() -> NormalizeBatch:
    return NormalizeBatch()


@pytest.mark.parametrize("mean", [-6.0, 0.0, 6.0])
@pytest.mark.parametrize("std", [0.25, 2.0])
def test_histograms_follow_the_sliders(explorer, mean, std):
    result = explorer.show(mean=mean, std=std)
    before, after = result.before.numpy(), result.after.numpy()
    np.testing.assert_allclose(
        after, (before - before.mean()) / np.sqrt(before.var() + 1e-5), atol=1e-5
    )
    for steps, values in zip(explorer.artists.steps, (before, after), strict=True):
        drawn, edges, _ = steps.get_data()
        counts, _ = np.histogram(values, edges)
        np.testing.assert_allclose(drawn, 100 * counts / 512, atol=0.4)
    assert explorer.artists.means[0].get_xdata()[0] == pytest.approx(before.mean(), abs=1e-4)
    assert explorer.artists.means[1].get_xdata()[0] == pytest.approx(0, abs=1e-4)


def test_no_value_falls_off_the_page(explorer):
    for values in explorer.states():
        explorer.show(**values)
        for steps in explorer.artists.steps:
            share = steps.get_data().values
            assert share.sum() > 97
            assert share.max() < 35


def test_the_sentence_gives_the_numbers(explorer):
    sentence = explorer.describe(explorer.show(mean=-6.0, std=2.0))
    assert "After: mean 0.00, standard deviation 1.00." in sentence
