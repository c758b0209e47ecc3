"""What a reader's code does beside what is right: lines, maps, channels, logits, outputs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from torch import Tensor

RIGHT, YOURS = "#0072B2", "#D55E00"
NAMES = ("right", "your code")
FIRM: dict[str, Any] = {"color": RIGHT, "marker": "o", "markersize": 9, "alpha": 0.45}
SHARP: dict[str, Any] = {"color": YOURS, "marker": "X", "markersize": 6}


class Pair(Protocol):
    """The same measured of what is right and of the reader's code."""

    @property
    def right(self) -> Tensor: ...
    @property
    def yours(self) -> Tensor: ...  # NaN where there is nothing to draw
    @property
    def trouble(self) -> str: ...  # why there is nothing, or ""
    @property
    def same(self) -> bool: ...


@dataclass
class NoteArtists:
    """Whether the two agree, at the upper right, and what went wrong, in the middle."""

    agreement: Text
    trouble: Text

    def update(self, result: Pair) -> None:
        """Say it of `result`."""
        self.agreement.set_text("✓ your code agrees" if result.same else "✗ your code differs")
        self.trouble.set_text(textwrap.fill(result.trouble, 34))


@dataclass
class BesideArtists:
    """A line each, and the note."""

    right: Line2D
    yours: Line2D
    note: NoteArtists

    def update(self, result: Pair) -> None:
        """Move both to `result`."""
        self.right.set_ydata(result.right.numpy())
        self.yours.set_ydata(result.yours.numpy())
        self.note.update(result)


def draw_beside(
    ax: Axes, x: Any, result: Pair, *, marks: bool = True, lines: bool = True
) -> BesideArtists:
    """Draw both over the same places: a broad pale line, and the reader's on top of it.

    Args:
        ax: where to draw.
        x: the places, numbers or names.
        result: one value a place, (X).
        marks: whether to mark every value.
        lines: whether to join them.
    """
    x = x.numpy() if isinstance(x, Tensor) else x
    broad: dict[str, Any] = {"linewidth": 6, "linestyle": "-" if lines else ""}
    thin: dict[str, Any] = {"linewidth": 2, "linestyle": "--" if lines else ""}
    bare = {} if marks else {"marker": ""}
    (right,) = ax.plot(x, result.right.numpy(), label=NAMES[0], **(FIRM | broad | bare))
    (yours,) = ax.plot(x, result.yours.numpy(), label=NAMES[1], **(SHARP | thin | bare))
    ax.legend()
    if isinstance(x, range):
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    artists = BesideArtists(right, yours, _draw_note(ax))
    artists.update(result)
    return artists


def draw_maps(axes: Sequence[Axes], result: Pair, *, label: str) -> list[AxesImage]:
    """Draw two maps on one scale of colours.

    Args:
        axes: left for what is right.
        result: a map each, (H, W).
        label: of the colours.
    """
    values = torch.stack((result.right, result.yours))
    values = values[values.isfinite()]
    limits: dict[str, Any] = {"vmin": values.min().item(), "vmax": values.max().item()}
    images = []
    for ax, name, shown in zip(axes, NAMES, (result.right, result.yours), strict=True):
        images.append(ax.imshow(shown.numpy(), **limits))
        ax.set(title=name, xticks=[], yticks=[])
        ax.grid(False)
    axes[0].figure.colorbar(images[0], ax=list(axes), label=label)
    _draw_note(axes[1]).update(result)
    return images


def draw_channels(ax: Axes, result: Pair) -> list[Line2D]:
    """Draw each channel's mean as a mark, and one standard deviation to either side as a bar.

    Args:
        ax: where to draw.
        result: means in the first row, standard deviations in the second, (2, C).
    """
    places = torch.arange(result.right.shape[1])
    means = []
    rows = zip(NAMES, (result.right, result.yours), (FIRM, SHARP), (-0.14, 0.14), strict=True)
    for name, values, style, offset in rows:
        mean, std = values.masked_fill(values.isinf(), torch.nan)
        look: dict[str, Any] = {"color": style["color"], "fmt": style["marker"], "markersize": 8}
        drawn = ax.errorbar(
            (places + offset).numpy(), mean.numpy(), std.numpy(), capsize=5, label=name, **look
        )
        means.append(drawn.lines[0])
    ax.set(xlabel="channel", xticks=places.tolist())
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    _draw_note(ax).update(result)
    return means


def draw_answers(axes: Sequence[Axes], result: Pair, classes: Sequence[str]) -> list[Line2D]:
    """Draw the logits of one sample in several batches; the highest of each batch is framed.

    Args:
        axes: left for what is right.
        result: one row a batch, (B, classes).
        classes: their names.
    """
    drawn = []
    for ax, name, logits, style in zip(
        axes, NAMES, (result.right, result.yours), (FIRM, SHARP), strict=True
    ):
        place = torch.arange(logits.shape[1]).expand_as(logits)
        marker = {"color": style["color"], "marker": "_", "markersize": 16, "markeredgewidth": 2.4}
        drawn += ax.plot(place.flatten(), logits.flatten(), linestyle="", **marker)
        top, read = logits.max(1)
        ax.plot(read[top.isfinite()], top[top.isfinite()], "s", mfc="none", mec="black", ms=15)
        ax.set(title=name, xlabel="class", xticks=range(len(classes)), xticklabels=classes)
    axes[0].set_ylabel("logit")
    _draw_note(axes[1]).update(result)
    return drawn


class Outputs(Protocol):
    """What comes out for each value that goes in."""

    @property
    def inputs(self) -> Tensor: ...
    @property
    def pair(self) -> Pair: ...


@dataclass
class OutputsArtists:
    """A mark for each value, and the spread of what came out in words."""

    right: Line2D
    yours: Line2D
    spreads: tuple[Text, Text]
    note: NoteArtists
    reach: float

    def update(self, result: Outputs) -> None:
        """Move the marks to `result`; what is off the scale lies on its edge."""
        pairs = ((self.right, result.pair.right), (self.yours, result.pair.yours))
        for (line, values), text, name in zip(pairs, self.spreads, NAMES, strict=True):
            line.set_data(result.inputs.numpy(), values.clamp(-self.reach, self.reach).numpy())
            lost = int(values.isnan().sum())
            spread = f"std {values.std(correction=0):.3f}"
            text.set_text(f"{name}: {f'{lost} of {len(values)} are NaN' if lost else spread}")
        self.note.update(result.pair)


def draw_outputs(ax: Axes, side: Axes, result: Outputs, *, reach: float = 5.0) -> OutputsArtists:
    """Draw what comes out against what goes in.

    Args:
        ax: for the marks.
        side: for the words.
        result: one value each for every input.
        reach: both axes run from -reach to reach.
    """
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach))
    ax.set(xlabel="what goes in, less its mean", ylabel="what comes out")
    side.set_axis_off()
    (right,) = ax.plot([], [], linestyle="", **(FIRM | {"markersize": 11}))
    (yours,) = ax.plot([], [], linestyle="", **SHARP)
    spreads = tuple(
        side.text(
            0, 0.7 - 0.15 * i, "", size=15, color=colour, weight="bold", transform=side.transAxes
        )
        for i, colour in enumerate((RIGHT, YOURS))
    )
    side.plot([-0.08], [0.725], transform=side.transAxes, clip_on=False, **FIRM)
    side.plot([-0.08], [0.575], transform=side.transAxes, clip_on=False, **SHARP)
    note = _draw_note(ax)
    artists = OutputsArtists(right, yours, (spreads[0], spreads[1]), note, reach)
    artists.update(result)
    return artists


def _draw_note(ax: Axes) -> NoteArtists:
    where: dict[str, Any] = {"transform": ax.transAxes, "size": 12, "color": "black"}
    agreement = ax.text(1, 1.02, "", ha="right", va="bottom", **where)
    box = {"facecolor": "white", "edgecolor": YOURS, "alpha": 0.9}
    trouble = ax.text(0.5, 0.5, "", ha="center", va="center", bbox=box, **where)
    return NoteArtists(agreement, trouble)
