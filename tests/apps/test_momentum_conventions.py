"""One momentum in two conventions."""

import warnings

import pytest

from bnlab.apps.momentum_conventions import BATCHES, MomentumConventions, both


@pytest.mark.parametrize("momentum", MomentumConventions.values)
def test_weights_fall_geometrically_and_leave_the_start_the_rest(momentum: float) -> None:
    result = MomentumConventions().show(momentum=momentum)
    expected = [momentum * (1 - momentum) ** ago for ago in range(BATCHES)]
    assert result.weights.tolist() == pytest.approx(expected, abs=1e-6)
    assert result.weights.sum().item() + result.start_left == pytest.approx(1.0, abs=1e-5)


def test_both_numbers_are_shown() -> None:
    explorer = MomentumConventions()
    explorer.show(momentum=0.01)
    artists = explorer.artists
    assert artists.torch_text.get_text() == "torch: momentum=0.01"
    assert artists.keras_text.get_text() == "Keras: momentum=0.99"
    assert artists.marker.get_xdata()[0] == 0.01
    assert artists.bars.get_data().values[0] == pytest.approx(0.01)
    assert both(0.01) == "torch 0.01 = Keras 0.99"


def test_every_state_draws_without_a_warning_in_a_small_page() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = MomentumConventions()._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
