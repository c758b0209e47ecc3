"""Photographs in rows and columns: what norms make of them, and one in the colours of another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch
from matplotlib.text import Text
from torch import Tensor

from bnlab.plots.layers import change

SAME, MOVED = "#0072B2", "#B34700"
REACH = 2.5  # normalised values from -REACH to REACH are shown as black to white
STEP = 8  # of 255 levels: what is left out is hardly seen, and half of the bytes


def pixels(pictures: Tensor) -> np.ndarray:
    """Pictures (*, 3, H, W) with values from 0 to 1 as bytes (*, H, W, 3); the rest is cut off."""
    levels = (pictures * 255 / STEP).round() * STEP
    return levels.clamp(0, 255).to(torch.uint8).movedim(-3, -1).contiguous().numpy()


class Picture(AxesImage):
    """Pixels that the page scales: they stay in their place and need no resampling."""

    _place: tuple[Any, ...] | None = None

    def make_image(self, renderer: Any, magnification: float = 1.0, unsampled: bool = False) -> Any:
        if not unsampled:
            return super().make_image(renderer, magnification, unsampled)
        if self._place is None:
            self._place = super().make_image(renderer, magnification, unsampled)[1:]
        return self.get_array(), *self._place


class Normed(Protocol):
    """What one norm makes of a batch of pictures, and how far it moved from the batch as it was."""

    @property
    def title(self) -> tuple[str, str]: ...  # name and axes
    @property
    def unchanged(self) -> Tensor: ...  # (N, 3, H, W), from the batch as it was
    @property
    def pictures(self) -> Tensor: ...  # (N, 3, H, W)
    @property
    def changed(self) -> Tensor: ...  # (N), relative


class Forgetting(Protocol):
    """A batch of photographs, changed, and what each norm makes of it."""

    @property
    def names(self) -> tuple[str, ...]: ...  # of the photographs
    @property
    def changed(self) -> Normed: ...  # the input
    @property
    def normed(self) -> Sequence[Normed]: ...


@dataclass
class ForgettingArtists:
    """A column of pictures for the input and for each norm, and how far each has moved.

    The unchanged pictures stand still below; one that differs from them covers them.
    """

    unchanged: list[list[AxesImage]]
    pictures: list[list[AxesImage]]
    words: list[list[Text]]

    def update(self, result: Forgetting) -> None:
        """Show another change."""
        columns = (result.changed, *result.normed)
        seen = [_visible(each.pictures, normalised=at > 0) for at, each in enumerate(columns)]
        for at, pictures in enumerate(pixels(torch.stack(seen))):
            places = zip(self.unchanged[at], self.pictures[at], self.words[at], strict=True)
            moves = columns[at].changed.tolist()
            for (still, image, text), values, moved in zip(places, pictures, moves, strict=True):
                if not np.array_equal(values, np.asarray(image.get_array())):
                    image.set_data(values)
                moved_at_all = not np.array_equal(values, np.asarray(still.get_array()))
                change(image, visible=moved_at_all)
                forgot = moved < 0.005
                words = f"= same ({moved:.1%})" if forgot else f"≠ moved {moved:.0%}"
                change(text, text=words, color=SAME if forgot else MOVED)


def draw_forgetting(axes: np.ndarray, result: Forgetting) -> ForgettingArtists:
    """Draw the changed photographs and what each norm makes of them.

    Args:
        axes: a row a photograph, a column for the input and for each norm.
        result: the norms stay the same from result to result.
    """
    columns = (result.changed, *result.normed)
    artists = ForgettingArtists([], [], [])
    for at, column in enumerate(columns):
        name, over = column.title
        axes[0, at].text(0, 1.3, name, transform=axes[0, at].transAxes, size=12.5, weight="bold")
        axes[0, at].text(0, 1.08, over, transform=axes[0, at].transAxes, size=11.5)
        below: dict[str, Any] = {"ha": "left", "va": "top", "size": 12, "weight": "bold"}
        still = [pixels(picture) for picture in _visible(column.unchanged, normalised=at > 0)]
        # What moves is in the moving layer at once, so that its first move is no slower.
        for layer, show in ((artists.unchanged, _show), (artists.pictures, _cover)):
            layer.append([show(ax, each) for ax, each in zip(axes[:, at], still, strict=True)])
        artists.words.append(
            [
                ax.text(0, -0.06, "", transform=ax.transAxes, animated=True, **below)
                for ax in axes[:, at]
            ]
        )
    for ax, name in zip(axes[:, 0], result.names, strict=True):
        ax.set_ylabel(name, size=13)
    artists.update(result)
    return artists


def _visible(values: Tensor, *, normalised: bool) -> Tensor:
    """Pixel values from 0 to 1; normalised ones are centred at 0."""
    return values / (2 * REACH) + 0.5 if normalised else values


def _show(ax: Axes, values: np.ndarray) -> AxesImage:
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.spines[:].set_visible(False)
    # Without resampling the page gets the few pixels that there are.
    return ax.imshow(values, interpolation="none")


def _cover(ax: Axes, values: np.ndarray) -> AxesImage:
    image = Picture(ax, interpolation="none", animated=True, clip_on=False)
    image.set_data(values)
    image.set_extent(ax.images[0].get_extent())
    ax.add_image(image)
    return image


class Transfer(Protocol):
    """A photograph, another one, and the first with statistics on the way to the other's."""

    @property
    def content(self) -> Tensor: ...  # (3, H, W)
    @property
    def style(self) -> Tensor: ...
    @property
    def output(self) -> Tensor: ...


LOOKS: tuple[dict[str, Any], ...] = (
    {"color": "black", "linestyle": "--", "linewidth": 1.8},
    {"color": "#B34700", "linestyle": ":", "linewidth": 2.4},
    {"color": "#0072B2", "linestyle": "-", "linewidth": 2.4},
)
EDGES = np.linspace(-0.3, 1.3, 33)


@dataclass
class TransferArtists:
    """Three photographs; for each channel their histograms, and bars of mean ± spread."""

    pictures: tuple[AxesImage, ...]
    outlines: list[list[StepPatch]]
    bars: list[list[Line2D]]

    def update(self, result: Transfer) -> None:
        """Show another strength, or the photographs the other way round."""
        photographs = result.content, result.style, result.output
        for image, photograph in zip(self.pictures, photographs, strict=True):
            image.set_data(pixels(photograph))
        for channel, (outlines, bars) in enumerate(zip(self.outlines, self.bars, strict=True)):
            for outline, bar, photograph in zip(outlines, bars, photographs, strict=True):
                values = photograph[channel].flatten()
                counts, _ = np.histogram(values.numpy(), EDGES)
                outline.set_data(100 * counts / values.numel())
                mean, spread = values.mean().item(), values.std(correction=0).item()
                bar.set_xdata([mean - spread, mean, mean + spread])


def draw_transfer(
    pictures: Sequence[Axes], histograms: Sequence[Axes], result: Transfer
) -> TransferArtists:
    """Draw content, style and output, and below them their red, green and blue.

    Args:
        pictures: for the content, the style and the output.
        histograms: for red, green and blue.
        result: pixel values around 0 to 1.
    """
    names = "content", "style", "output"
    shown = tuple(_show(ax, pixels(result.output)) for ax in pictures)
    for ax, name, look in zip(pictures, names, LOOKS, strict=True):
        ax.set_title(name)
        ax.plot([0.36, 0.56], [1.06, 1.06], transform=ax.transAxes, clip_on=False, **look)
    outlines, bars = [], []
    for ax, channel in zip(histograms, ("red", "green", "blue"), strict=True):
        ax.set(xlim=(EDGES[0], EDGES[-1]), ylim=(-11, 26), yticks=[], xticks=[0, 0.5, 1])
        ax.set_xlabel("pixel value", size=12)
        ax.text(0.99, 0.97, channel, transform=ax.transAxes, ha="right", va="top", size=14)
        ax.axhline(0, color="black", linewidth=0.8)
        outlines.append([ax.stairs(0 * EDGES[1:], EDGES, **look) for look in LOOKS])
        bars.append(
            [
                ax.plot([0, 0.5, 1], [height] * 3, marker="|", markersize=11, **look)[0]
                for look, height in zip(LOOKS, (-2.4, -5.4, -8.4), strict=True)
            ]
        )
    histograms[0].set_ylabel("% of pixels;\nmean ± spread", size=12)
    artists = TransferArtists(shown, outlines, bars)
    artists.update(result)
    return artists
