"""A padded batch of sequences, and what three ways to normalise make of its first sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text
from torch import Tensor

PADDING = (0.96, 0.80, 0.50)
COLOURS, MARKERS = ("#D55E00", "#CC79A7", "#0072B2"), ("o", "D", "s")


class Padded(Protocol):
    """A batch (N, L, C), which of its steps are real (N, L), and one feature of sequence 0.

    `values` holds that feature's normalised values, (steps,) by kind of normalisation;
    `everywhere` the same for every batch on offer, (batches, steps); `moved` by how much any
    feature has moved since the first of them.
    """

    @property
    def batch(self) -> Tensor: ...
    @property
    def real(self) -> Tensor: ...
    @property
    def feature(self) -> int: ...
    @property
    def values(self) -> Mapping[str, Tensor]: ...
    @property
    def everywhere(self) -> Mapping[str, Tensor]: ...
    @property
    def moved(self) -> Mapping[str, float]: ...


@dataclass
class PaddedArtists:
    """The batch as a picture, a line of values for each kind of normalisation, and its reading."""

    longest: int
    sheet: AxesImage
    frame: Rectangle
    row: Line2D
    lines: dict[str, Line2D]
    texts: dict[str, Text]

    def update(self, result: Padded) -> None:
        """Move everything to another batch."""
        self.sheet.set_data(sheet(result.batch, result.real, self.longest).numpy())
        # The sheet is opaque, so what lies on it has to move with it.
        self.frame.set_linewidth(2.5)
        self.row.set_ydata([result.feature] * 2)
        for name, line in self.lines.items():
            line.set_ydata(result.values[name].numpy())
            self.texts[name].set_text(f"moved by up to {result.moved[name]:.2f}")


def draw_padded(axes: Sequence[Axes], result: Padded, *, longest: int) -> PaddedArtists:
    """Draw a batch, padding in colour, and its first sequence as each kind normalises it.

    Args:
        axes: for the batch, then one for each kind of normalisation.
        result: values of the features between 0 and 1.
        longest: steps for which there is room.
    """
    batch, *panels = axes
    features = result.batch.shape[2]
    page = batch.imshow(
        sheet(result.batch, result.real, longest).numpy(), interpolation="none", aspect="equal"
    )
    steps = len(next(iter(result.values.values())))
    batch.axis("off")
    batch.set_title("The batch, one framed")
    frame = Rectangle((-0.7, -0.7), steps + 0.4, features + 0.4, fill=False)
    frame.set_clip_on(False)
    batch.add_patch(frame)
    (row,) = batch.plot([-0.5, steps - 0.5], [result.feature] * 2, color="#009E73")
    below: dict[str, Any] = {
        "loc": "upper left",
        "bbox_to_anchor": (0, 0),
        "handlelength": 1,
        "borderpad": 0,
    }
    batch.legend(handles=[Patch(color=PADDING, label="padding")], **below)
    lines, texts = {}, {}
    low = min(rows.min().item() for rows in result.everywhere.values())
    high = max(rows.max().item() for rows in result.everywhere.values())
    room = high - low
    places = list(range(1, steps + 1))
    for ax, name, colour, marker in zip(panels, result.values, COLOURS, MARKERS, strict=True):
        ax.set(title=name, xlabel="step (column)", ylim=(low - 0.1 * room, high + 0.25 * room))
        for values in result.everywhere[name]:
            ax.plot(places, values.numpy(), color="black", linewidth=0.8, alpha=0.35)
        (lines[name],) = ax.plot(places, [0.0] * steps, color=colour, marker=marker)
        texts[name] = ax.text(0.04, 0.97, "", transform=ax.transAxes, va="top", size=13)
        ax.tick_params(labelleft=ax is panels[0])
    panels[0].set_ylabel("normalised value, marked row")
    artists = PaddedArtists(longest, page, frame, row, lines, texts)
    artists.update(result)
    return artists


def sheet(batch: Tensor, real: Tensor, longest: int) -> Tensor:
    """Lay the sequences out below each other, time to the right, as (height, longest, 3) colours.

    Args:
        batch: values between 0 and 1, (N, L, C), drawn as ink.
        real: False where a step is padding, (N, L).
        longest: width, at least L; what lies right of the batch is white.
    """
    count, length, features = batch.shape
    page = torch.ones(count, features + 1, longest, 3)
    ink = 1 - batch.mT.clamp(0, 1)
    page[:, :features, :length] = ink[..., None]
    padded = ~real[:, None, :].expand(count, features, length)
    page[:, :features, :length][padded] = torch.tensor(PADDING)
    return page.flatten(0, 1)[:-1]
