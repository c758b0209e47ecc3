"""The picture of saturation is the sigmoid's own."""

import numpy as np
import pytest

from bnlab.apps.saturate_sigmoid import SaturateSigmoid


@pytest.fixture(scope="module")
def explorer() -> SaturateSigmoid:
    return SaturateSigmoid()


def slope(z: np.ndarray) -> np.ndarray:
    return np.exp(-z) / (1 + np.exp(-z)) ** 2


@pytest.mark.parametrize("mean", [-5.0, 0.0, 3.0])
@pytest.mark.parametrize("std", [0.25, 4.0])
def test_dots_and_mean_follow_the_sliders(explorer, mean, std):
    result = explorer.show(mean=mean, std=std)
    inputs = result.inputs.double().numpy()
    assert inputs.mean() == pytest.approx(mean, abs=0.2)
    dots = explorer.artists.dots
    np.testing.assert_allclose(dots.get_ydata(), slope(dots.get_xdata()), atol=1e-5)
    np.testing.assert_allclose(
        dots.get_xdata(), np.quantile(inputs, np.arange(0.05, 1, 0.1)), atol=0.02 * std
    )
    assert explorer.artists.mean.get_ydata()[0] == pytest.approx(slope(inputs).mean(), abs=1e-5)
    assert explorer.artists.label.get_text() == f"mean {slope(inputs).mean():.3f}"


def test_every_input_is_on_the_page(explorer):
    for values in explorer.states():
        result = explorer.show(**values)
        drawn, edges, _ = explorer.artists.steps.get_data()
        counts, _ = np.histogram(result.inputs.numpy(), edges)
        np.testing.assert_allclose(drawn, counts / 2000, atol=1e-6)
        assert drawn.sum() > 0.99
        assert drawn.max() < 1


def test_beyond_the_edge_less_than_a_tenth_of_the_slope_is_left(explorer):
    result = explorer.compute(mean=0.0, std=4.0)
    assert slope(np.array(result.edge)) == pytest.approx(0.025, rel=1e-6)
    outside = (result.inputs.abs() > result.edge).float().mean().item()
    assert result.share == pytest.approx(outside)


def test_a_shift_costs_gradient_and_the_sentence_says_so(explorer):
    middle, shifted = explorer.compute(mean=0.0, std=1.0), explorer.compute(mean=5.0, std=1.0)
    assert shifted.gradients.mean() < 0.1 * middle.gradients.mean()
    assert explorer.describe(middle).startswith("0 % of the inputs are saturated")


def test_the_page_is_small(explorer):
    assert len(explorer._repr_mimebundle_()["text/html"]) < 300_000
