"""One photograph in the colours of another: pictures, histograms, statistics."""

import numpy as np
import pytest

from bnlab import data
from bnlab.apps.transfer_style import TransferStyle
from bnlab.plots.photographs import EDGES, pixels


@pytest.fixture(scope="module")
def photographs():
    return data.photographs((40, 60))


@pytest.fixture(scope="module")
def explorer(photographs):
    return TransferStyle(photographs, ("temple", "flower"))


def by_hand(content, style, share):
    """Reinhard's transfer, channel by channel."""
    output = np.empty_like(content)
    for c in range(3):
        scaled = (content[c] - content[c].mean()) * style[c].std() / content[c].std()
        output[c] = (1 - share) * content[c] + share * (scaled + style[c].mean())
    return output


@pytest.mark.parametrize(("content", "at"), [("temple", 0), ("flower", 1)])
@pytest.mark.parametrize("strength", [0, 25, 100])
def test_the_output_is_drawn(explorer, photographs, strength, content, at):
    result = explorer.show(strength=strength, content=content)
    both = photographs.double().numpy()
    expected = by_hand(both[at], both[1 - at], strength / 100)
    np.testing.assert_allclose(result.output, expected, atol=2e-3)
    for image, picture in zip(
        explorer.artists.pictures,
        (photographs[at], photographs[1 - at], result.output),
        strict=True,
    ):
        assert np.array_equal(image.get_array(), pixels(picture))
    for channel in range(3):
        counts, _ = np.histogram(result.output[channel].numpy(), EDGES)
        drawn = explorer.artists.outlines[channel][2].get_data().values
        np.testing.assert_allclose(drawn, 100 * counts / expected[channel].size)
        low, middle, high = explorer.artists.bars[channel][2].get_xdata()
        assert middle == pytest.approx(expected[channel].mean(), abs=1e-3)
        assert high - low == pytest.approx(2 * expected[channel].std(), abs=2e-3)


def test_at_full_strength_the_statistics_are_the_style_s(explorer):
    assert explorer.show(strength=100).distance < 1e-3
    assert explorer.show(strength=0).distance > 0.1
    assert "within 0.00 of" in explorer.describe(explorer.show(strength=100))


def test_the_page_is_light():
    large = TransferStyle(data.photographs((80, 120)), ("temple", "flower"))
    assert len(large._repr_mimebundle_()["text/html"]) < 300_000


def test_pixels_are_cut_to_what_a_screen_shows(photographs):
    assert pixels(photographs[0] + 2).min() == 255
    assert pixels(photographs[0] - 2).max() == 0
