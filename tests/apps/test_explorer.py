"""What live explorers and sweeps share."""

import pytest
import torch

from bnlab.apps.controls import Choice, Slider
from bnlab.apps.explorer import Explorer, one_thread
from tests.browser.toys import Shifted, ToyLive, ToySweep


@pytest.fixture(params=[ToyLive, ToySweep])
def toy(request: pytest.FixtureRequest) -> type[Explorer[Shifted]]:
    kind: type[Explorer[Shifted]] = request.param
    return kind


def test_starts_where_its_controls_start_unless_told(toy: type[Explorer[Shifted]]) -> None:
    assert toy().start == {"mean": 0.0, "mode": "centre"}
    assert toy(mean=2.0).start == {"mean": 2.0, "mode": "centre"}


def test_names_what_it_does_not_know(toy: type[Explorer[Shifted]]) -> None:
    with pytest.raises(
        ValueError, match=r"no control is called 'std'; there are \['mean', 'mode'\]"
    ):
        toy(std=1.0)
    with pytest.raises(ValueError, match=r"mean cannot be 0.5; choose one of \[-2.0, "):
        toy(mean=0.5)
    with pytest.raises(ValueError, match="mode cannot be 'train'"):
        toy().show(mode="train")


def test_show_returns_the_result_and_moves_the_artists(toy: type[Explorer[Shifted]]) -> None:
    explorer = toy()
    result = explorer.show(mean=2.0)
    assert result.before.mean().item() == pytest.approx(2.0, abs=1e-6)
    before, after = explorer.artists.means
    assert before.get_xdata()[0] == pytest.approx(2.0, abs=1e-6)
    assert after.get_xdata()[0] == pytest.approx(0.0, abs=1e-6)


def test_show_takes_the_other_values_from_the_start(toy: type[Explorer[Shifted]]) -> None:
    explorer = toy(mean=1.0)
    assert explorer.show(mode="leave").after.mean().item() == pytest.approx(1.0, abs=1e-6)


def test_one_thread_is_for_the_while_only() -> None:
    def fail() -> None:
        with one_thread():
            assert torch.get_num_threads() == 1
            raise KeyError

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyError):
            fail()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_a_control_must_start_at_one_of_its_values() -> None:
    with pytest.raises(ValueError, match="control 'eps' starts at 2, which is not among"):
        Slider("eps", "ε", [0, 1], 2)


def test_a_control_prints_numbers_as_people_write_them() -> None:
    assert Slider("mean", "mean", [1.0, 2.5], 1.0, unit="mV").readout(1.0) == "1 mV"
    assert Choice("mode", "mode", ["train", "eval"], "eval").readout("eval") == "eval"
    words = Slider("eps", "ε", [1e-5], 1e-5, text=lambda value: f"{value:.0e}")
    assert words.readout(1e-5) == "1e-05"
    assert Slider("a", "a", [1], 1).kind == "slider"
    assert Choice("a", "a", ["b"], "b").kind == "choice"
