"""A figure in two layers: what stands still is drawn once, what moves is drawn every time."""

from __future__ import annotations

import base64
import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Protocol, TypeVar

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.spines import Spine
from matplotlib.transforms import Affine2D
from PIL import Image

SVG_DPI = 72  # matplotlib writes SVG in points
UNSAID = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # what a page does not ask of a piece

Result = TypeVar("Result", contravariant=True)


class Artists(Protocol[Result]):
    """What a `draw_*` function returns: artists that can be moved to another result."""

    def update(self, result: Result) -> None:
        """Move the artists, in place, to show `result`."""


@cache
def _style() -> matplotlib.RcParams:
    path = files("bnlab").joinpath("bnlab.mplstyle")
    return matplotlib.rc_params_from_file(str(path), use_default_template=False)


@contextmanager
def styled() -> Iterator[None]:
    """Within it, matplotlib draws in the project's style (`plt.style.use("bnlab.bnlab")`)."""
    style, current = _style(), matplotlib.rcParams
    before = {name: current[name] for name in style}
    # `matplotlib.rc_context` keeps all settings and checks each again: half a millisecond.
    dict.update(current, style)
    try:
        yield
    finally:
        dict.update(current, before)


def change(artist: Artist, **properties: object) -> None:
    """Set the properties that differ: an artist left as it is need not be drawn again."""
    artist.set(
        **{
            name: value
            for name, value in properties.items()
            if getattr(artist, f"get_{name}")() != value
        }
    )


def new_figure(size: tuple[float, float]) -> Figure:
    """A figure that pyplot does not know of, so that nothing else shows it or keeps it alive."""
    return Figure(figsize=size, dpi=SVG_DPI)


class LayeredFigure:
    """Draws a figure quickly again and again by keeping the artists that never moved.

    matplotlib marks a changed artist as stale. The first time an artist turns stale it joins the
    moving layer for good; when anything else changed (axis limits, ticks) the still layer is
    drawn anew. An artist made with `animated=True` is in the moving layer from the start.

    Args:
        figure: a finished figure. Its layout is computed once, here, and then frozen.
    """

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self._pieces: dict[Artist, str] = {}
        self._renderer = _Renderer(*figure.get_size_inches() * SVG_DPI)
        with styled():
            figure.draw_without_rendering()
        figure.set_layout_engine("none")
        self.moving = [artist for artist in self._movable() if artist.get_animated()]
        self.moving.sort(key=lambda artist: artist.zorder)
        self._calm()

    def settle(self) -> bool:
        """Move newly changed artists to the moving layer; say whether the still layer changed."""
        if not self.figure.stale:
            return False
        for artist in self._movable():
            if artist.stale and not artist.get_animated():
                artist.set_animated(True)
                self.moving.append(artist)
        self.moving.sort(key=lambda artist: artist.zorder)
        self._calm()
        return True

    def _calm(self) -> None:
        self._pieces.clear()
        for artist in self.figure.findobj():
            artist.stale = False

    def _movable(self) -> list[Artist]:
        fixed = (Spine, Axis, Legend)
        children = [
            child
            for axes in self.figure.axes
            for child in axes.get_children()
            if child is not axes.patch and not isinstance(child, fixed)
        ]
        return children + list(self.figure.texts)

    def png(self, dpi: float = 100) -> bytes:
        """Both layers as PNG bytes, in at most 128 colours to keep a saved notebook small."""
        self.settle()
        file = io.BytesIO()
        with styled():
            self.figure.savefig(file, format="png", dpi=dpi)
        self._calm()
        small = io.BytesIO()
        Image.open(file).convert("RGB").quantize(128).save(small, "png", optimize=True)
        return small.getvalue()

    def svg_still(self) -> str:
        """The inside of an `<svg>` with all that stands still."""
        self.settle()
        with styled():
            return self._svg(self.figure.draw)

    def svg_moving(self) -> str:
        """The inside of an `<svg>` with all that moves, from back to front."""
        return "".join(self.svg_pieces())

    def svg_pieces(self) -> list[str]:
        """As `svg_moving`, but artist by artist: none needs another's definitions.

        Only what has changed since the last time is drawn; of the rest the last piece serves.
        """
        self.settle()
        seen = [artist for artist in self.moving if artist.get_visible()]
        with styled():
            for artist in seen:
                if artist.stale or artist not in self._pieces:
                    self._pieces[artist] = self._svg(artist.draw)
        return [piece for artist in seen if (piece := self._pieces[artist])]

    @property
    def view_box(self) -> str:
        """The coordinates of both layers, as an `<svg>` states them."""
        width, height = self.figure.get_size_inches() * SVG_DPI
        return f"0 0 {width:g} {height:g}"

    def _svg(self, draw: Callable[[RendererBase], None]) -> str:
        self._renderer.restart()
        draw(self._renderer)
        return self._renderer.finish()


class _Renderer(RendererSVG):
    """matplotlib's, for one piece after the other, which need nothing of each other.

    It is always the same one, since matplotlib measures a word once for each renderer. Unclipped
    pictures are encoded in a fraction of the time.
    """

    def __init__(self, width: float, height: float) -> None:
        RendererSVG.__init__(self, width, height, io.StringIO(), metadata=UNSAID)
        self._start = dict(vars(self))

    def restart(self) -> None:
        """Forget what was drawn and defined, and write into an empty file without a header."""
        for name, value in self._start.items():
            setattr(self, name, value.copy() if isinstance(value, dict) else value)
        self._file = io.StringIO()
        self.writer = type(self.writer)(self._file)
        self._start_id = 0

    def finish(self) -> str:
        RendererSVG.finalize(self)
        return self._file.getvalue().strip()

    def draw_image(self, gc: Any, x: Any, y: Any, im: Any, transform: Any = None) -> None:
        clipped = gc.get_clip_rectangle() is not None or gc.get_clip_path()[0] is not None
        if transform is None or clipped or gc.get_alpha() != 1:
            RendererSVG.draw_image(self, gc, x, y, im, transform)
            return
        height, width = im.shape[:2]
        flipped = Affine2D().translate(x, y).scale(1, -1).translate(0, self.height)
        place = Affine2D().scale(1 / width, 1 / height) + transform + flipped
        numbers = " ".join(f"{number:.6g}" for number in place.get_matrix()[:2].T.flatten())
        self.writer.element(
            "image",
            width=str(width),
            height=str(height),
            transform=f"matrix({numbers})",
            style="image-rendering:crisp-edges;image-rendering:pixelated",
            attrib={
                "xlink:href": f"data:image/png;base64,{base64.b64encode(small_png(im)).decode()}"
            },
        )


def small_png(pixels: np.ndarray) -> bytes:
    """A picture of bytes, (H, W, 3) or (H, W, 4), as a PNG, without a search for filters.

    A library tries five filters for each row: of a small picture that takes five times as long.
    """
    if pixels.shape[-1] == 4 and pixels[..., 3].min() == 255:
        pixels = pixels[..., :3]
    height, width, channels = pixels.shape
    rows = np.zeros((height, 1 + width * channels), dtype=np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, {3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = (b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes(), 1)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def shorten_svg(text: str) -> str:
    """SVG without what no page needs: names, comments, far decimals, to keep notebooks small."""
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*\n\s*", " ", text).replace("> <", "><")
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r' transform="rotate\(-?0 [^)]*\)"', "", text)
    text = re.sub(r' d="[^"]*"', lambda path: _shorten_path(path[0]), text)
    # Between the tags stands what people read: a number there keeps all its decimals.
    return re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), text).strip()


def _shorten_path(path: str) -> str:
    path = re.sub(r"\d+\.\d+", lambda number: f"{float(number[0]):.1f}", path)
    path = re.sub(r"\.0(?=\D)", "", path)
    # A command that repeats needs no letter, and a point that repeats shows nothing.
    path = re.sub(r"(L -?[\d.]+ -?[\d.]+)( \1)+(?= )", r"\1", path)
    # After a curve the letter must stay: points without one would continue the curve.
    run = r"[ML] -?[\d.]+ -?[\d.]+(?: L -?[\d.]+ -?[\d.]+)+"
    return re.sub(run, lambda points: points[0].replace(" L ", " "), path)
