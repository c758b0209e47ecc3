"""Which cells share a statistic with a picked one: six norms, one batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bnlab import data
from bnlab.apps.controls import Slider
from bnlab.apps.live import Live
from bnlab.functional import moments
from bnlab.plots.norm_family import FamilyArtists, draw_norm_family


@dataclass(frozen=True)
class Norm:
    """A norm by what it averages over."""

    name: str
    axes: tuple[str, ...]
    note: str

    @property
    def dims(self) -> tuple[str, ...]:
        """The dimensions of the batch as this norm sees them."""
        return ("N", "G", "C/G", "H", "W") if "C/G" in self.axes else ("N", "C", "H", "W")

    @property
    def each(self) -> tuple[str, ...]:
        """The dimensions along which there is one statistic each."""
        return tuple(name for name in self.dims if name not in self.axes)

    def owner(self, values: Tensor) -> Tensor:
        """Number the statistics of `values`, (`dims`), and say which one each cell meets."""
        mean, _ = moments(values, [self.dims.index(name) for name in self.axes])
        return torch.arange(mean.numel()).view_as(mean).expand_as(values)


NORMS = (
    Norm("BatchNorm", ("N", "H", "W"), "all samples"),
    Norm("InstanceNorm", ("H", "W"), "one feature map"),
    Norm("GroupNorm", ("C/G", "H", "W"), "a group of maps"),
    Norm("LayerNorm", ("C", "H", "W"), "a whole sample"),
    Norm("LayerNorm", ("C",), "one token"),
    Norm("RMSNorm", ("C",), "mean not removed"),
)


@dataclass(frozen=True)
class Member:
    """A norm on a batch; without tensors where the groups do not divide the channels."""

    norm: Norm
    counts: tuple[str, str]  # of the cells in the picked one's set, and of the sets
    owner: Tensor | None = None  # (N, C, H·W): the number of each cell's statistic
    shared: Tensor | None = None  # (N, C, H·W): whether that is the picked cell's
    odd: Tensor | None = None  # (N, C, H·W): differs between neighbouring statistics

    @property
    def title(self) -> tuple[str, str, str]:
        """Its name, its axes, and what they amount to."""
        return self.norm.name, f"over {', '.join(self.norm.axes)}", self.norm.note

    @property
    def formulas(self) -> tuple[str, str]:
        """How many cells share a statistic, and how many statistics there are, in letters."""
        return f"cells: {'·'.join(self.norm.axes)}", f"sets: {'·'.join(self.norm.each)}"


@dataclass(frozen=True)
class Family:
    """A batch of a certain size, a picked cell, and what each norm makes of it."""

    sizes: tuple[int, int, int, int]
    picked: tuple[int, int, int, int]
    members: tuple[Member, ...]


class NormFamily(Live[Family]):
    """One batch drawn six times: pick a cell, and see which cells share its statistics."""

    title = "Pick a cell: which cells share its statistics?"
    size = (9.4, 6.05)
    controls = (
        Slider("samples", "N, samples", [1, 2, 3, 4], 3),
        Slider("n", "picked sample n", [0, 1, 2, 3], 1),
        Slider("channels", "C, channels", [1, 2, 3, 4, 6], 6),
        Slider("c", "picked channel c", [0, 1, 2, 3, 4, 5], 2),
        Slider("height", "H, height", [1, 2, 3], 2),
        Slider("place", "picked place", list(range(12)), 1),
        Slider("width", "W, width", [1, 2, 3, 4], 4),
        Slider("groups", "G, groups", [1, 2, 3, 4, 6], 3),
    )

    def compute(
        self, samples: int, channels: int, height: int, width: int, groups: int,
        n: int, c: int, place: int,
    ) -> Family:  # fmt: skip
        sizes = samples, channels, height, width
        # A batch that shrinks keeps the picked cell inside.
        h, w = divmod(min(place, height * width - 1), width)
        picked = min(n, samples - 1), min(c, channels - 1), h, w
        values = data.synthetic(sizes)
        named = dict(zip("NCHW", sizes, strict=True)) | {"G": groups, "C/G": channels // groups}
        return Family(sizes, picked, tuple(member(norm, values, named, picked) for norm in NORMS))

    def draw(self, figure: Figure, result: Family) -> FamilyArtists:
        figure.set_layout_engine("none")
        return draw_norm_family(figure.add_axes((0, 0, 1, 1)), result)

    def describe(self, result: Family) -> str:
        n, c, h, w = result.picked
        found = (f"{each.title[0]} {each.title[1]} {each.counts[0]}" for each in result.members)
        return f"How many cells share with x[{n}, {c}, {h}, {w}]: {'; '.join(found)}."


def member(norm: Norm, values: Tensor, sizes: Mapping[str, int], picked: tuple[int, ...]) -> Member:
    """Find what `norm` shares among `values`, (N, C, H, W), whose dimensions have these sizes."""
    channels, groups = sizes["C"], sizes["G"]
    if "G" in norm.dims and channels % groups:
        return Member(norm, (f"✗ C/G = {channels}/{groups}", "✗ an error"))
    shape = [sizes[name] for name in norm.dims]
    owner = norm.owner(values.reshape(shape)).reshape(values.shape)
    # H and W lie on one axis of the picture, where a step of h is as far as W steps of w.
    steps = [sizes["W"] if name == "H" else 1 for name in norm.each]
    places = torch.meshgrid(*(torch.arange(sizes[name]) for name in norm.each), indexing="ij")
    along = torch.stack([step * place for step, place in zip(steps, places, strict=True)])
    odd = along.sum(0).flatten() % 2 == 1
    shared = owner == owner[picked]
    factors, count = [str(sizes[name]) for name in norm.axes], str(int(shared.sum()))
    product = [count] if len(factors) == 1 else ["·".join(factors), count]
    counts = f"= {' = '.join(product)}", f"= {int(owner.max()) + 1}"
    return Member(norm, counts, owner.flatten(2), shared.flatten(2), odd[owner].flatten(2))
