"""A live explorer without a browser: set a control's value, look at everything else."""

import base64
import io
import re
from typing import Any

import ipywidgets
import numpy as np
import pytest
from IPython.display import DisplayHandle
from PIL import Image
from traitlets import TraitError

from bnlab.apps import still
from bnlab.apps.still import WIDGET_VIEW, css_string
from tests.browser.toys import Raising, ToyLive, Waiting


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=float)


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The MIME bundles that reach the front end."""
    bundles: list[dict[str, Any]] = []

    def display(data: dict[str, Any], *, raw: bool, **_: Any) -> DisplayHandle | None:
        assert raw
        bundles.append(data)
        return None

    monkeypatch.setattr(still, "display", display)
    return bundles


def test_a_moved_control_moves_picture_caption_and_artists() -> None:
    toy = ToyLive()
    toy.refresh()
    first = toy.moving.value
    toy.control("mean").value = 2.0
    assert toy.moving.value != first
    assert toy.caption.value == "From mean 2.00 to mean 0.00."
    assert toy.artists.means[0].get_xdata()[0] == pytest.approx(2.0, abs=1e-6)
    assert toy.values == {"mean": 2.0, "mode": "centre"}


def test_what_is_shown_depends_on_the_values_and_not_on_the_way_there() -> None:
    wanderer, stranger = ToyLive(), ToyLive()
    wanderer.refresh()
    for mean in (2.0, -1.0, 1.0, -2.0, 1.0):
        wanderer.control("mean").value = mean
    wanderer.control("mode").value = "negate"
    stranger.refresh()
    stranger.control("mode").value = "negate"
    stranger.control("mean").value = 1.0
    assert wanderer.moving.value == stranger.moving.value


def test_an_exception_in_compute_reaches_whoever_moves_the_control() -> None:
    toy = Raising()
    toy.control("mean").value = -1.0
    with pytest.raises(ArithmeticError, match="planted at mean"):
        toy.control("mean").value = 1.0


def test_reset_returns_the_first_picture_with_one_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Waiting(mean=1.0)
    toy.refresh()
    first = toy.moving.value
    toy.control("mean").value, toy.control("steps").value = -2.0, 2
    assert toy.moving.value != first
    shown = []
    show = toy.show
    monkeypatch.setattr(toy, "show", lambda **values: shown.append(values) or show(**values))
    toy._reset_button.click()
    assert toy.moving.value == first
    assert shown == [toy.start]


def test_a_value_that_is_not_offered_is_refused() -> None:
    with pytest.raises(TraitError, match="value not found"):
        ToyLive().control("mean").value = 0.5


def test_a_picture_stands_beside_the_widget(displayed: list[dict[str, Any]]) -> None:
    toy = ToyLive()
    toy._ipython_display_()
    style, view = displayed
    assert view[WIDGET_VIEW]["model_id"] == toy.widget.model_id
    assert view["text/plain"] == "From mean 0.00 to mean 0.00."
    picture = pixels(base64.b64decode(view["image/png"]))
    assert np.abs(picture - pixels(toy.layers.png())).mean() < 1
    assert picture.std() > 20
    # The same picture covers "model not found", with the same words for a screen reader.
    assert view["image/png"] in style["text/html"]
    assert css_string(view["text/plain"]) in style["text/html"]
    assert not re.search(r"https?://|@import", style["text/html"])


def test_two_displays_differ_in_the_widget_only(displayed: list[dict[str, Any]]) -> None:
    for _ in range(2):
        ToyLive()._ipython_display_()
    first, second = displayed[:2], displayed[2:]
    for bundle in (first, second):
        assert bundle[1].pop(WIDGET_VIEW)["model_id"]
    assert first == second


def test_every_control_is_a_widget_with_its_label() -> None:
    toy = ToyLive()
    mean, mode = toy.control("mean"), toy.control("mode")
    assert isinstance(mean, ipywidgets.SelectionSlider)
    assert isinstance(mode, ipywidgets.ToggleButtons)
    assert (mean.description, mode.description) == ("mean", "mode")
    assert [text for text, _ in mean.options] == ["-2 mV", "-1 mV", "0 mV", "1 mV", "2 mV"]
    assert toy._reset_button.tooltip == "Return every control of “Shift a batch” to its start"


def test_css_strings_keep_quotes_and_lines() -> None:
    assert css_string('a "b"\n\\c') == '"a \\"b\\"\\A \\\\c"'


def test_a_handle_moved_in_the_page_is_not_echoed(monkeypatch: pytest.MonkeyPatch) -> None:
    toy = ToyLive()
    sent: list[str] = []
    for name in ("mean", "mode"):
        control = toy.control(name)
        monkeypatch.setattr(control, "_send", lambda m, **_: sent.append(m["method"]))
        control.set_state({"index": 1})
    assert toy.values == {"mean": -1.0, "mode": "leave"}
    assert "echo_update" not in sent
