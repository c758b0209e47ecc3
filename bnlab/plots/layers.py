"""A figure in two layers: what stands still is drawn once, what moves is drawn every time."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from importlib.resources import files
from typing import Protocol, TypeVar

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.spines import Spine
from PIL import Image

Result = TypeVar("Result", contravariant=True)


class Artists(Protocol[Result]):
    """What a `draw_*` function returns: artists that can be moved to another result."""

    def update(self, result: Result) -> None:
        """Move the artists, in place, to show `result`."""


@cache
def _style() -> matplotlib.RcParams:
    path = files("bnlab").joinpath("bnlab.mplstyle")
    return matplotlib.rc_params_from_file(str(path), use_default_template=False)


def styled() -> AbstractContextManager[None]:
    """Within it, matplotlib draws in the project's style (`plt.style.use("bnlab.bnlab")`)."""
    return matplotlib.rc_context(_style())


def new_figure(size: tuple[float, float], dpi: float = 100) -> Figure:
    """A figure that pyplot does not know of, so that nothing else shows it or keeps it alive."""
    figure = Figure(figsize=size, dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


class LayeredFigure:
    """Draws a figure quickly again and again by keeping the artists that never moved.

    matplotlib marks a changed artist as stale. The first time an artist turns stale it joins the
    moving layer for good; when anything else changed (axis limits, ticks) the still layer is
    drawn anew.

    Args:
        figure: a finished figure. Its layout is computed once, here, and then frozen.
    """

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.moving: list[Artist] = []
        self._background: object | None = None
        with styled():
            figure.draw_without_rendering()
        figure.set_layout_engine("none")
        self.settle()

    def settle(self) -> bool:
        """Move newly changed artists to the moving layer; say whether the still layer changed."""
        if not self.figure.stale:
            return False
        for artist in self._movable():
            if artist.stale and not artist.get_animated():
                artist.set_animated(True)
                self.moving.append(artist)
        self.moving.sort(key=lambda artist: artist.zorder)
        for artist in self.figure.findobj():
            artist.stale = False
        self._background = None
        return True

    def _movable(self) -> list[Artist]:
        fixed = (Spine, Axis, Legend)
        children = [
            child
            for axes in self.figure.axes
            for child in axes.get_children()
            if child is not axes.patch and not isinstance(child, fixed)
        ]
        return children + list(self.figure.texts)

    def png(self) -> bytes:
        """The figure as PNG bytes, fast rather than small."""
        return encode_png(self._pixels())

    def small_png(self) -> bytes:
        """The figure as PNG bytes in at most 128 colours, small rather than fast."""
        file = io.BytesIO()
        image = Image.fromarray(self._pixels()[..., :3]).quantize(128)
        image.save(file, "png", optimize=True)
        return file.getvalue()

    def _pixels(self) -> np.ndarray:
        canvas = self.figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)
        self.settle()
        if self._background is None:
            with styled():
                canvas.draw()
            self._background = canvas.copy_from_bbox(self.figure.bbox)
        else:
            canvas.restore_region(self._background)
        self._draw_moving(canvas.get_renderer())
        return np.asarray(canvas.buffer_rgba())

    def _draw_moving(self, renderer: RendererBase) -> None:
        for artist in self.moving:
            artist.draw(renderer)

    def svg_still(self) -> str:
        """The inside of an `<svg>` with all that stands still.

        For SVG the figure must have been made at 72 dpi, matplotlib's unit there.
        """
        self.settle()
        return self._svg(self.figure.draw)

    def svg_moving(self) -> list[str]:
        """The insides of an `<svg>` with what moves, one piece an artist, from back to front."""
        self.settle()
        pieces = (self._svg(artist.draw) for artist in self.moving if artist.get_visible())
        return [piece for piece in pieces if piece]

    @property
    def view_box(self) -> str:
        """The coordinates of both layers, as an `<svg>` states them."""
        width, height = self.figure.get_size_inches() * 72
        return f"0 0 {width:g} {height:g}"

    def _svg(self, draw: Callable[[RendererBase], None]) -> str:
        width, height = self.figure.get_size_inches() * 72
        file = io.StringIO()
        with styled():
            renderer = RendererSVG(width, height, file, metadata={"Date": None})
            draw(renderer)
            renderer.finalize()
        return shorten_svg(file.getvalue())


def encode_png(pixels: np.ndarray) -> bytes:
    """RGBA pixels as a PNG without filters.

    Pillow tries five filters on every line, which for drawings on white saves few bytes and takes
    twice as long as all the rest of an update.

    PNG specification, third edition: https://www.w3.org/TR/png-3/
    """
    height, width, channels = pixels.shape
    lines = np.zeros((height, 1 + width * channels), np.uint8)  # a leading 0: no filter
    lines[:, 1:] = pixels.reshape(height, -1)
    eight_bit_rgba = (8, 6, 0, 0, 0)
    chunks = {
        b"IHDR": struct.pack(">II5B", width, height, *eight_bit_rgba),
        b"IDAT": zlib.compress(lines, level=1),
        b"IEND": b"",
    }
    png = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks.items():
        checksum = zlib.crc32(kind + body)
        png += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
    return png


def shorten_svg(text: str) -> str:
    """The inside of matplotlib's SVG without what no page needs: names, comments, far decimals."""
    text = text[text.index("<svg") : text.rindex("</svg>")]
    text = re.sub(r"^<svg.*?>|<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style.*?</defs>", "", text, flags=re.DOTALL)
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
