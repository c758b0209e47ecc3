"""A sweep without a browser: every state must be in the page, once, and readable."""

import base64
import io
import json
import re
from itertools import product
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from bnlab.plots.histograms import BeforeAfterArtists
from bnlab.plots.layers import shorten_svg
from tests.browser.toys import Shifted, ToySweep

MEANS = [-2.0, -1.0, 0.0, 1.0, 2.0]
MODES = ["centre", "leave", "negate"]


def embedded(html: str) -> dict[str, Any]:
    """The JSON that the page's script will find."""
    (text,) = re.findall(r'<script type="application/json">(.*?)</script>', html, re.DOTALL)
    data: dict[str, Any] = json.loads(text)
    return data


@pytest.fixture(scope="module")
def bundle() -> dict[str, str]:
    return ToySweep(mean=1.0)._repr_mimebundle_()


@pytest.fixture(scope="module")
def data(bundle: dict[str, str]) -> dict[str, Any]:
    return embedded(bundle["text/html"])


def test_every_combination_is_a_state_the_last_control_running_fastest() -> None:
    expected = [{"mean": mean, "mode": mode} for mean, mode in product(MEANS, MODES)]
    assert list(ToySweep().states()) == expected


def test_every_state_has_its_own_sentence_in_that_order(data: dict[str, Any]) -> None:
    toy = ToySweep()
    expected = [toy.describe(toy.compute(**state)) for state in toy.states()]
    assert [sentence for _, _, sentence in data["states"]] == expected


def test_every_state_shows_what_its_result_shows(data: dict[str, Any]) -> None:
    toy = ToySweep()
    toy.data()
    for state, (still, pieces, _) in zip(toy.states(), data["states"], strict=True):
        toy.show(**state)
        assert [data["pieces"][piece] for piece in pieces] == [
            *map(shorten_svg, toy.layers.svg_pieces())
        ]
        assert 0 <= still < len(data["stills"])


def test_pieces_are_stored_once_and_each_is_used(data: dict[str, Any]) -> None:
    assert len(set(data["pieces"])) == len(data["pieces"])
    used = {piece for _, pieces, _ in data["states"] for piece in pieces}
    assert used == set(range(len(data["pieces"])))
    assert len(data["stills"]) == 1


def test_controls_say_where_they_start_and_what_they_read(data: dict[str, Any]) -> None:
    mean, mode = data["controls"]
    texts = ["-2 mV", "-1 mV", "0 mV", "1 mV", "2 mV"]
    assert mean == {"label": "mean", "kind": "slider", "texts": texts, "start": 3}
    assert mode == {"label": "mode", "kind": "choice", "texts": MODES, "start": 0}


def test_two_renderings_are_the_same_text(bundle: dict[str, str]) -> None:
    assert ToySweep(mean=1.0)._repr_mimebundle_() == bundle


def test_rendering_after_moving_is_the_same_text(bundle: dict[str, str]) -> None:
    toy = ToySweep(mean=1.0)
    toy.show(mean=-2.0, mode="negate")
    assert toy._repr_mimebundle_() == bundle


def test_a_picture_of_the_start_stands_beside_the_page(bundle: dict[str, str]) -> None:
    png = base64.b64decode(bundle["image/png"])
    image = np.asarray(Image.open(io.BytesIO(png)).convert("L"), dtype=float)
    assert image.shape == (360, 860)
    assert image.std() > 10
    assert f'<img src="data:image/png;base64,{bundle["image/png"]}" alt="' in bundle["text/html"]
    assert bundle["text/plain"] in bundle["text/html"]


def test_the_page_asks_nothing_of_the_network(bundle: dict[str, str]) -> None:
    html = bundle["text/html"]
    addresses = re.findall(r"""(?:src|href)=\\?["'](.{5})""", html)
    assert addresses
    assert all(address.startswith(("#", "data:")) for address in addresses)
    assert not re.search(r"https?://(?!www\.w3\.org)|@import|url\((?!#|data:)", html)


class Closing(ToySweep):
    title = "</script><b>"

    def describe(self, result: Shifted) -> str:
        return f"</script><!-- {result.before.mean():.1f} <img onerror='no'>"


def test_words_cannot_end_the_script() -> None:
    html = Closing()._repr_mimebundle_()["text/html"]
    data = embedded(html)
    assert data["title"] == "</script><b>"
    assert data["states"][0][2].startswith("</script><!-- -2.0")
    assert html.count("</script>") == 2
    assert "<img onerror" not in re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)


class Growing(ToySweep):
    """Its vertical axis follows the mode, which changes what stands still."""

    def draw(self, figure: Figure, result: Shifted) -> BeforeAfterArtists:
        artists = super().draw(figure, result)
        move = artists.update

        def update(result: Shifted) -> None:
            move(result)
            top = 30 if abs(result.after.mean()) < 0.5 else 60
            if figure.axes[1].get_ylim() != (0, top):
                figure.axes[1].set_ylim(0, top)

        artists.update = update  # type: ignore[method-assign]
        return artists


def test_a_changed_axis_is_another_still_layer() -> None:
    toy = Growing()
    data = embedded(toy._repr_mimebundle_()["text/html"])
    stills = [still for still, _, _ in data["states"]]
    tops = [abs(toy.compute(**state).after.mean()) < 0.5 for state in toy.states()]
    assert len(data["stills"]) == 2
    assert [still == stills[0] for still in stills] == [top == tops[0] for top in tops]


class Refusing(ToySweep):
    def compute(self, mean: float, mode: str) -> Shifted:
        if mean == 2.0:
            raise ArithmeticError("planted")
        return super().compute(mean, mode)


def test_a_state_that_cannot_be_computed_stops_the_display() -> None:
    with pytest.raises(ArithmeticError, match="planted"):
        Refusing()._repr_mimebundle_()
