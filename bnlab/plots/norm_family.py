"""A batch as a block and as its slices, once for each norm: which cells share a statistic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.text import Text
from torch import Tensor

from bnlab.plots.cells import SLICES, Block, Slices, polygons, rectangles, strokes
from bnlab.plots.layers import change

LIT, DARK, PICKED, EVEN, ODD = "#0072B2", "#00344F", "#E69F00", "#F4F4F4", "#D6D6D6"

# Everything is placed in points, from the top left corner.
WIDTH, HEIGHT = 676.8, 435.6
LEFT, PITCH = 62.0, 102.0  # the first panel, and from one to the next
WORDS, LEGEND = 349.0, 426.0
SAMPLES = 4  # at most


class Member(Protocol):
    """One norm: which of its statistics each cell goes into."""

    @property
    def title(self) -> tuple[str, str, str]: ...  # its name, its axes, what they amount to
    @property
    def shared(self) -> Tensor | None: ...  # bool (N, C, H·W): the picked cell's companions, itself
    @property
    def odd(self) -> Tensor | None: ...  # bool (N, C, H·W): differs between sets side by side
    @property
    def formulas(self) -> tuple[str, str]: ...  # how many cells share, how many sets there are
    @property
    def counts(self) -> tuple[str, str]: ...  # the same in numbers


class Family(Protocol):
    """A batch of a certain size, a picked cell, and what each norm makes of it."""

    @property
    def sizes(self) -> tuple[int, int, int, int]: ...  # N, C, H, W
    @property
    def picked(self) -> tuple[int, int, int, int]: ...  # n, c, h, w
    @property
    def members(self) -> Sequence[Member]: ...


@dataclass
class FamilyArtists:
    """One path a kind of thing, for all panels together, and words."""

    behind: PathPatch
    top: PathPatch
    side: PathPatch
    front: PathPatch
    between: PathPatch
    edges: PathPatch
    even: PathPatch
    odd: PathPatch
    lit: PathPatch
    hatch: PathPatch
    grid: PathPatch
    picked: PathPatch
    counts: list[Text]
    sizes: tuple[Text, Text, Text]
    samples: list[Text]
    address: Text

    def update(self, result: Family) -> None:
        """Show another batch, or another picked cell."""
        count, channels, height, width = result.sizes
        cells = count, channels, height * width
        block, panel = Block(*cells), Slices(*cells)
        lefts = [LEFT + PITCH * at for at in range(len(result.members))]
        picked = np.zeros(cells, dtype=bool)
        n, c, h, w = result.picked
        picked[n, c, h * width + w] = True

        edges, behind = block.edges()
        _cut(self.edges, strokes(_each(edges, lefts)))
        _cut(self.behind, strokes(_each(behind, lefts)))
        _cut(self.grid, strokes(_each(panel.grid(), lefts)))
        _cut(self.even, polygons(panel.cover(np.ones(cells), lefts)))
        front = _each(block.faces(picked)[0][:1], lefts)
        marks = np.stack([panel.cover(picked, lefts), front], axis=1)
        _cut(self.picked, polygons(np.concatenate(marks)))
        self._light(result.members, lefts, block, panel)
        self._write(result, block, panel)

    def _light(
        self, members: Sequence[Member], lefts: Sequence[float], block: Block, panel: Slices
    ) -> None:
        solids, between, odd, shared, places = [], [], [], [], []
        for member, left in zip(members, lefts, strict=True):
            if member.shared is None or member.odd is None:
                continue
            faces, lines = block.faces(member.shared.numpy())
            aside = np.array([left, 0.0])
            solids.append(faces + aside)
            between.append(lines + aside)
            odd.append(member.odd)
            shared.append(member.shared)
            places.append(left)
        for patch, faces in zip(
            (self.front, self.top, self.side), np.stack(solids, 1), strict=True
        ):
            _cut(patch, polygons(faces))
        lit = torch.stack(shared).numpy()
        _cut(self.between, strokes(np.concatenate(between)))
        _cut(self.odd, polygons(panel.cover(torch.stack(odd).numpy(), places)))
        _cut(self.lit, polygons(panel.cover(lit, places)))
        _cut(self.hatch, strokes(panel.hatch(lit, places)))

    def _write(self, result: Family, block: Block, panel: Slices) -> None:
        samples, channels, height, width = result.sizes
        for count, member in zip(self.counts, result.members, strict=True):
            count.set_text("\n\n".join(member.counts))
        for sample, text in enumerate(self.samples):
            middle = panel.top(min(sample, samples - 1)) + panel.size * channels / 2
            change(text, position=(text.get_position()[0], middle), visible=sample < samples)
        down, across, deep = self.sizes
        left, back = block.at([(0, channels / 2, 0), (samples, 0, 0)])
        change(down, text=f"C = {channels}\n↓", position=(down.get_position()[0], left[1]))
        across.set_text(f"H·W = {height}·{width} →")
        change(deep, text=f"N = {samples} ↗", position=(LEFT + back[0] - 6, back[1] + 2))
        self.address.set_text("picked cell x[{}, {}, {}, {}]".format(*result.picked))


def _each(points: np.ndarray, lefts: Sequence[float]) -> np.ndarray:
    """The same shapes once in each panel."""
    shifts = np.array([[left, 0.0] for left in lefts])
    return np.concatenate([points + shift for shift in shifts])


def _cut(patch: PathPatch, path: Path) -> None:
    if not np.array_equal(path.vertices, patch.get_path().vertices):
        patch.set_path(path)
        patch.stale = True  # which `set_path` leaves undone


def draw_norm_family(ax: Axes, result: Family) -> FamilyArtists:
    """Draw a panel for each norm: the batch as a block, below it the same cells slice by slice.

    Args:
        ax: fills the whole figure of 9.4 by 6.05 inches.
        result: at most 4 samples; the norms stay the same from result to result.
    """
    ax.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
    ax.set_axis_off()

    def patch(zorder: int, **style: Any) -> PathPatch:
        path = polygons(rectangles(np.zeros((1, 4))))
        # Nothing reaches beyond the edge, and a path that the page need not clip shows sooner.
        drawn = PathPatch(path, zorder=zorder, animated=True, clip_on=False, **style)
        ax.add_patch(drawn)
        return drawn

    solid = {"edgecolor": DARK, "linewidth": 0.8}
    line = {"facecolor": "none", "edgecolor": "#8C8C8C", "linewidth": 0.7}
    small: dict[str, Any] = {"size": 11.5}
    lines = small | {"va": "top", "linespacing": 1.3}
    # What moves: in the moving layer at once, so that its first move is no slower.
    moving: dict[str, Any] = {"animated": True}
    middle = small | moving | {"ha": "right", "va": "center"}
    lefts = [LEFT + PITCH * at for at in range(len(result.members))]
    for x, member in zip(lefts, result.members, strict=True):
        name, over, note = member.title
        ax.text(x, 26, name, size=12, weight="bold", va="center")
        ax.text(x, 41, over, size=11.5, va="center")
        ax.text(x, 54, note, size=10.5, va="center", style="italic")
        ax.text(x, WORDS, "\n\n".join(member.formulas), **lines)
    artists = FamilyArtists(
        behind=patch(1, **line | {"linestyle": (0, (2, 2))}),
        top=patch(2, facecolor="#66AAD1", **solid),
        side=patch(2, facecolor="#00507D", **solid),
        front=patch(2, facecolor=LIT, **solid),
        between=patch(3, facecolor="none", edgecolor="white", linewidth=0.5),
        edges=patch(4, **line | {"edgecolor": "black"}),
        even=patch(1, facecolor=EVEN, linewidth=0),
        odd=patch(2, facecolor=ODD, linewidth=0),
        lit=patch(3, facecolor=LIT, linewidth=0),
        hatch=patch(4, facecolor="none", edgecolor="white", linewidth=1.2),
        grid=patch(4, **line),
        picked=patch(5, facecolor=PICKED, edgecolor="black", linewidth=1.8),
        counts=[
            ax.text(x, WORDS + 15, "", color=LIT, weight="bold", **lines, **moving) for x in lefts
        ],
        sizes=(
            ax.text(LEFT - 6, 0, "", linespacing=0.9, **middle),
            ax.text(LEFT, SLICES - 15, "", va="center", **small, **moving),
            ax.text(0, 0, "", **middle),
        ),
        samples=[ax.text(LEFT - 8, 0, f"n = {n}", **middle) for n in range(SAMPLES)],
        address=ax.text(LEFT + 16, LEGEND, "", va="center", **small, **moving),
    )
    _draw_header(ax, 0, 4, "pictures: (N, C, H, W)")
    _draw_header(ax, 4, len(lefts), "tokens: C last")
    slices = "The same cells slice by slice, none of them hidden:"
    ax.text(LEFT + PITCH, SLICES - 15, slices, va="center", **small)
    _draw_legend(ax)
    artists.update(result)
    return artists


def _draw_header(ax: Axes, first: int, last: int, words: str) -> None:
    left, right = LEFT + PITCH * first, LEFT + PITCH * last - 8
    ax.plot([left, right], [16, 16], color="#8C8C8C", linewidth=1.2)
    ax.text(left, 8, words, size=11.5, va="center")


def _draw_legend(ax: Axes) -> None:
    edge: dict[str, Any] = {"edgecolor": "black", "linewidth": 0.8}
    for x, colour in ((0, PICKED), (172, LIT), (308, EVEN), (320, ODD)):
        box = rectangles(np.array([[LEFT + x, LEGEND - 5, 10, 10]]))
        ax.add_patch(PathPatch(polygons(box), facecolor=colour, **edge))
    rising = np.array([[[174.2, 2.8], [179.8, -2.8]]]) + np.array([LEFT, LEGEND])
    ax.add_patch(PathPatch(strokes(rising), edgecolor="white", linewidth=1.2))
    others = "other sets, each with its own statistics"
    for x, words in ((188, "share its statistics"), (336, others)):
        ax.text(LEFT + x, LEGEND, words, size=11.5, va="center")
