"""Two layers must show exactly what one full drawing shows."""

import io
import re
from collections.abc import Iterator

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from bnlab.plots.layers import LayeredFigure, change, new_figure, shorten_svg, small_png, styled


class Wave:
    """A moving line, a word that can be hidden, and a fixed line behind them."""

    def __init__(self) -> None:
        with styled():
            self.figure: Figure = new_figure((4, 3))
            self.axes: Axes = self.figure.subplots()
            self.axes.set(title="wave", xlabel="x", xlim=(0, 1), ylim=(-2, 2))
            self.axes.plot([0, 1], [-1, 1], color="0.7")
            self.line: Line2D = self.axes.plot([0.1, 0.9], [0, 0])[0]
            self.word = self.axes.text(0.5, 1.5, "")
        self.layers = LayeredFigure(self.figure)

    def move(self, height: float) -> None:
        self.line.set_data(np.linspace(0.1, 0.9, 50), height * np.sin(np.linspace(0, 9, 50)))
        self.word.set_text("up" if height > 0 else "down")
        self.word.set_visible(height != 0)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=int)


def full_drawing(wave: Wave) -> np.ndarray:
    """What matplotlib draws without layers, in as few colours."""
    for artist in wave.layers.moving:
        artist.set_animated(False)
    file = io.BytesIO()
    with styled():
        wave.figure.savefig(file, format="png", dpi=100)
    drawing = Image.open(file).convert("RGB").quantize(128).convert("RGB")
    return np.asarray(drawing, dtype=int)


HEIGHTS = [0.5, -1.0, 0.0, 1.9, 0.3, -0.7, 0.0, 1.2]


def test_after_many_moves_every_pixel_is_that_of_a_full_drawing() -> None:
    wave = Wave()
    for height in HEIGHTS:
        wave.move(height)
        moved = pixels(wave.layers.png())
    fresh = Wave()
    fresh.move(HEIGHTS[-1])
    assert np.array_equal(moved, full_drawing(fresh))


def test_each_move_shows() -> None:
    wave = Wave()
    shown = set()
    for height in (0.5, -1.0, 0.0):
        wave.move(height)
        shown.add(wave.layers.png())
    assert len(shown) == 3


def test_returning_returns_the_same_bytes() -> None:
    wave = Wave()
    wave.move(0.5)
    wave.layers.png()
    first = wave.layers.png()
    wave.move(-1.0)
    wave.layers.png()
    wave.move(0.5)
    assert wave.layers.png() == first


def test_only_what_moved_is_in_the_moving_layer() -> None:
    wave = Wave()
    assert wave.layers.moving == []
    wave.move(1.0)
    assert wave.layers.settle()
    assert {wave.line, wave.word} <= set(wave.layers.moving)
    assert wave.axes.lines[0] not in wave.layers.moving
    assert not wave.layers.settle()


def test_a_changed_axis_draws_the_still_layer_anew() -> None:
    wave = Wave()
    wave.move(1.0)
    wave.layers.png()
    wave.axes.set_ylim(-4, 4)
    moved = pixels(wave.layers.png())
    fresh = Wave()
    fresh.move(1.0)
    fresh.axes.set_ylim(-4, 4)
    assert np.array_equal(moved, full_drawing(fresh))


def drawn(svg: str) -> list[str]:
    """What an SVG paints, in no order: its styled paths, its marks and its words."""
    return sorted(re.findall(r"<path [^>]*style=[^>]*>|<use [^>]*>|<text.*?</text>", svg))


def test_both_svg_layers_together_draw_all_and_nothing_twice() -> None:
    wave = Wave()
    wave.move(1.0)
    layered = drawn(wave.layers.svg_still() + wave.layers.svg_moving())
    for artist in wave.layers.moving:
        artist.set_animated(False)
    file = io.StringIO()
    with styled():
        renderer = RendererSVG(4 * 72, 3 * 72, file, metadata={"Date": None})
        wave.figure.draw(renderer)
        renderer.finalize()
    assert layered == drawn(file.getvalue())


def test_svg_is_the_same_twice_and_hides_what_is_hidden() -> None:
    def moving(height: float) -> Iterator[str]:
        wave = Wave()
        wave.move(1.0)
        wave.layers.settle()
        wave.move(height)
        yield wave.layers.svg_still()
        yield from wave.layers.svg_pieces()

    assert list(moving(0.5)) == list(moving(0.5))
    assert len(list(moving(0.5))) == 3
    assert len(list(moving(0.0))) == 2


def test_only_what_changed_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawings: list[str] = []
    wave = Wave()
    for artist in (wave.line, wave.word):

        def draw(*arguments: object, of=artist, really=artist.draw) -> None:
            drawings.append(type(of).__name__)
            really(*arguments)

        monkeypatch.setattr(artist, "draw", draw)
    for height in HEIGHTS:
        wave.move(height)
        wave.layers.svg_moving()
    for height, again in ((1.5, ["Line2D"]), (1.0, ["Line2D"]), (-1.0, ["Line2D", "Text"])):
        drawings.clear()
        wave.move(height)
        moving = wave.layers.svg_moving()
        assert drawings == again
        fresh = Wave()
        fresh.move(height)
        assert drawn(moving) == drawn(fresh.layers.svg_moving())
    drawings.clear()
    wave.layers.svg_moving()
    assert drawings == []


def test_a_change_to_what_an_artist_is_already_leaves_it_as_drawn() -> None:
    wave = Wave()
    wave.move(1.0)
    wave.layers.svg_moving()
    change(wave.word, text="up", position=(0.5, 1.5), visible=True)
    assert not wave.word.stale
    change(wave.word, text="up", position=(0.5, 1.2))
    assert wave.word.stale
    assert wave.word.get_position() == (0.5, 1.2)


def test_view_box_is_the_size_in_points() -> None:
    assert Wave().layers.view_box == "0 0 288 216"


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("M 1.2345 2.0 L 3.04 4.0 L 5 6", "M 1.2 2 3 4 5 6"),
        ("M 1 2 L 3 4 L 3 4 L 3 4 L 5 6", "M 1 2 3 4 5 6"),
    ],
)
def test_paths_lose_letters_and_points_that_show_nothing(path: str, short: str) -> None:
    assert shorten_svg(f'<path d="{path}"/>') == f'<path d="{short}"/>'


def test_places_lose_decimals_and_what_people_read_does_not() -> None:
    svg = '<text x="1.23456">mean 0.0774</text>'
    assert shorten_svg(svg) == '<text x="1.23">mean 0.0774</text>'


def test_drawing_leaves_no_figure_in_pyplot_and_no_style_behind() -> None:
    import matplotlib.pyplot as plt

    before = dict(plt.rcParams), plt.get_fignums()
    Wave().layers.png()
    assert (dict(plt.rcParams), plt.get_fignums()) == before


def test_a_line_after_a_curve_stays_a_line() -> None:
    path = "M 0.0 1.0 L 2.0 3.0 L 4.5 3.0 Q 5.0 3.0 5.0 4.0 L 5.0 6.0 L 1.0 6.0 z"
    short = "M 0 1 2 3 4.5 3 Q 5 3 5 4 L 5 6 1 6 z"
    assert shorten_svg(f'<path d="{path}"/>') == f'<path d="{short}"/>'


def test_level_text_carries_no_rotation() -> None:
    upright = '<text transform="rotate(-90 3 4)">b</text>'
    text = f'<text transform="rotate(-0 3.5 4)">a</text>{upright}'
    assert shorten_svg(text) == f"<text>a</text>{upright}"


@pytest.mark.parametrize("opacity", [None, 255, 100], ids=["colours", "opaque", "see-through"])
def test_a_small_png_holds_its_pixels(opacity: int | None) -> None:
    drawn = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    if opacity is not None:
        drawn = np.dstack([drawn, np.full((5, 7), opacity, dtype=np.uint8)])
    found = Image.open(io.BytesIO(small_png(drawn[::-1])))
    assert found.mode == ("RGBA" if opacity == 100 else "RGB")
    np.testing.assert_array_equal(found, drawn[::-1, :, : len(found.mode)])


def test_the_style_is_left_as_it_was_found() -> None:
    before = dict(matplotlib.rcParams)
    with styled():
        assert dict(matplotlib.rcParams) != before
    assert dict(matplotlib.rcParams) == before
