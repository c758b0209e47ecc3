"""Where the cells of a batch `(N, C, H·W)` lie when it is drawn as a block and as its slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.path import Path

# In points, from the top left corner of a panel.
ROOM = 90.0  # a panel's width
BLOCK, BLOCK_ROOM, SLANT = 62.0, 78.0, 0.5  # the block's top, its height, depth of a sample in it
SLICES, SLICES_ROOM, GAP = 168.0, 172.0, 7.0  # the slices' top, their height, space between them


def polygons(corners: np.ndarray) -> Path:
    """One path of many closed shapes, shape `(shapes, corners, 2)`."""
    closed = np.concatenate([corners, corners[:, :1]], axis=1)
    codes = [Path.MOVETO] + [Path.LINETO] * (closed.shape[1] - 2) + [Path.CLOSEPOLY]
    return Path(_short(closed), np.tile(codes, len(closed)))


def strokes(ends: np.ndarray) -> Path:
    """One path of many straight lines, shape `(lines, 2, 2)`."""
    return Path(_short(ends), np.tile([Path.MOVETO, Path.LINETO], len(ends)))


def _short(points: np.ndarray) -> np.ndarray:
    """Points to a tenth: nobody sees more, and each digit travels at every move."""
    rounded: np.ndarray = points.reshape(-1, 2).round(1)
    return rounded


def rectangles(boxes: np.ndarray) -> np.ndarray:
    """Corners of rectangles given as left, top, width, height: `(boxes, 4)` to `(boxes, 4, 2)`."""
    x, y, width, height = boxes.T[..., None]
    across, down = np.array([0, 1, 1, 0]), np.array([0, 0, 1, 1])
    return np.stack([x + width * across, y + height * down], axis=-1)


def runs(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cover the cells of each table, `(tables, rows, columns)`, by few rectangles.

    Returns:
        Rows of left, top, width, height in cells, and the number of the table each lies in.
    """
    found = []
    for tables in (masks, masks.swapaxes(1, 2)):
        framed = np.zeros((*tables.shape[:2], tables.shape[2] + 2), dtype=np.int8)
        framed[..., 1:-1] = tables
        steps = framed[..., 1:] - framed[..., :-1]
        table, row, start = np.nonzero(steps == 1)
        stop = np.nonzero(steps == -1)[2]
        found.append((np.stack([start, row, stop - start, np.ones_like(row)], axis=1), table))
    (flat, lying), (upright, standing) = found
    fewer = np.bincount(lying, minlength=len(masks)) <= np.bincount(standing, minlength=len(masks))
    boxes = np.concatenate([flat[fewer[lying]], upright[~fewer[standing]][:, [1, 0, 3, 2]]])
    return boxes, np.concatenate([lying[fewer[lying]], standing[~fewer[standing]]])


@dataclass(frozen=True)
class Slices:
    """Sample below sample, rows are channels: every cell is in sight."""

    samples: int
    channels: int
    places: int

    @property
    def size(self) -> float:
        """The side of a cell."""
        high = (SLICES_ROOM - GAP * (self.samples - 1)) / (self.samples * self.channels)
        return min(15.0, ROOM / self.places, high)

    def top(self, sample: int) -> float:
        """The upper edge of a sample's slice."""
        return SLICES + sample * (self.size * self.channels + GAP)

    def cover(self, masks: np.ndarray, lefts: Sequence[float]) -> np.ndarray:
        """Corners of rectangles over the cells of `masks`, in the panels that begin at `lefts`.

        A mask, (N, C, H·W), for each panel, or one for all.
        """
        # An empty row below each sample keeps a rectangle from reaching into the next one.
        tables = np.zeros((len(lefts), self.samples, self.channels + 1, self.places), dtype=bool)
        tables[:, :, :-1] = masks
        boxes, panel = runs(tables.reshape(len(lefts), -1, self.places))
        sample = boxes[:, 1] // (self.channels + 1)
        boxes = boxes * self.size
        boxes[:, 0] += np.array(lefts)[panel]
        boxes[:, 1] += SLICES + sample * (GAP - self.size)
        return rectangles(boxes)

    def grid(self) -> np.ndarray:
        """The lines between the cells, `(lines, 2, 2)`."""
        wide, high = self.size * self.places, self.size * self.channels
        lines = []
        for top in map(self.top, range(self.samples)):
            rows = [top + self.size * c for c in range(self.channels + 1)]
            columns = [self.size * p for p in range(self.places + 1)]
            lines += [((0.0, y), (wide, y)) for y in rows]
            lines += [((x, top), (x, top + high)) for x in columns]
        return np.array(lines)

    def hatch(self, masks: np.ndarray, lefts: Sequence[float]) -> np.ndarray:
        """A rising line in each cell of `masks`, one for each panel: `(cells, 2, 2)`."""
        panel, n, c, p = np.nonzero(masks)
        corners = self.size * np.stack([p, c + n * self.channels], axis=1)
        corners += np.stack([np.array(lefts)[panel], SLICES + GAP * n], axis=1)
        return corners[:, None] + np.array([[0.22, 0.78], [0.78, 0.22]]) * self.size


@dataclass(frozen=True)
class Block:
    """The same cells as a solid: channels down, positions across, samples going back."""

    samples: int
    channels: int
    places: int

    @property
    def size(self) -> float:
        """The side of a cell's front."""
        deep = SLANT * self.samples
        return min(11.0, ROOM / (self.places + deep), BLOCK_ROOM / (self.channels + deep))

    def at(self, corners: Sequence[object]) -> np.ndarray:
        """Points on paper for corners `(..., 3)` of the block, counted in cells."""
        x, y, slant = self.size * np.array([[1, 0], [0, 1], [SLANT, -SLANT]])
        corner = np.array([0.0, BLOCK + BLOCK_ROOM - self.size * self.channels])
        points: np.ndarray = corner + np.array(corners) @ np.stack([slant, y, x])
        return points

    def edges(self) -> tuple[np.ndarray, np.ndarray]:
        """The block's edges in sight, `(9, 2, 2)`, and those behind, `(3, 2, 2)`."""
        n, c, p = self.samples, self.channels, self.places
        seen = [
            *_around((0, 0, 0), (0, 0, p), (0, c, p), (0, c, 0)),
            *(((0, 0, 0), (n, 0, 0)), ((n, 0, 0), (n, 0, p)), ((n, 0, p), (0, 0, p))),
            *(((n, 0, p), (n, c, p)), ((n, c, p), (0, c, p))),
        ]
        far = (n, c, 0)
        return self.at(seen), self.at([(far, near) for near in ((0, c, 0), (n, 0, 0), (n, c, p))])

    def faces(self, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Front, top, side of the box around `mask`, `(3, 4, 2)`, and lines between its cells."""
        (n0, n1), (c0, c1), (p0, p1) = (
            (int(where.min()), int(where.max()) + 1) for where in np.nonzero(mask)
        )
        front = (n0, c0, p0), (n0, c0, p1), (n0, c1, p1), (n0, c1, p0)
        top = (n0, c0, p0), (n0, c0, p1), (n1, c0, p1), (n1, c0, p0)
        side = (n0, c0, p1), (n1, c0, p1), (n1, c1, p1), (n0, c1, p1)
        lines = [((n0, c0, p0), (n0, c0, p0))]  # at least one
        for c in range(c0 + 1, c1):
            lines += [((n0, c, p0), (n0, c, p1)), ((n0, c, p1), (n1, c, p1))]
        for p in range(p0 + 1, p1):
            lines += [((n0, c0, p), (n0, c1, p)), ((n0, c0, p), (n1, c0, p))]
        for n in range(n0 + 1, n1):
            lines += [((n, c0, p0), (n, c0, p1)), ((n, c0, p1), (n, c1, p1))]
        return self.at([front, top, side]), self.at(lines)


def _around(*corners: tuple[int, int, int]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    return list(zip(corners, (*corners[1:], corners[0]), strict=True))
