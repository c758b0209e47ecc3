"""Which cells of a tensor share a mean, and where they lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bnlab import data
from bnlab.apps.controls import Choice, Slider
from bnlab.apps.sweep import Sweep
from bnlab.functional import moments
from bnlab.plots.shared_cells import SharedCellsArtists, draw_shared_cells

SIZES = {"N": 3, "C": 4, "L": 6, "D": 2, "H": 3, "W": 4}
SMALLER = {"H": 2, "W": 3}  # with a depth of 2 a channel still has 12 cells


@dataclass(frozen=True)
class Cells:
    """A tensor, the cells that go into one channel's statistics, and each cell's address."""

    values: Tensor
    names: str
    channel: int
    shared: Tensor
    address: Tensor
    order: str
    mean: float
    var: float

    @property
    def runs(self) -> int:
        """Into how many unbroken pieces of memory the shared cells fall."""
        places = self.address[self.shared].sort().values
        return 1 + int((places.diff() > 1).sum())


class SharedCells(Sweep[Cells]):
    """A small tensor cell by cell: a channel's cells across all samples, and their memory."""

    title = "Which cells share a mean and a variance?"
    size = (8.6, 5.61)
    controls = (
        Slider("channel", "channel c", list(range(SIZES["C"])), 1),
        Choice("shape", "shape", ["(N, C)", "(N, C, L)", "(N, C, H, W)", "(N, C, D, H, W)"],
               "(N, C, H, W)"),
        Choice("memory", "memory", ["channels first", "channels last"], "channels first"),
    )  # fmt: skip

    def compute(self, channel: int, shape: str, memory: str) -> Cells:
        names = shape.strip("()").replace(", ", "")
        sizes = SIZES | SMALLER if "D" in names else SIZES
        values = data.synthetic(
            tuple(sizes[name] for name in names), mean=[2.0, 4.0, 5.0, 7.0], std=1.5, seed=2
        )
        values = values.round().clamp(0, 9).abs().requires_grad_()
        mean, var = moments(values, [d for d in range(values.dim()) if d != 1])
        # A cell shares the mean if the mean answers when the cell is moved.
        (slope,) = torch.autograd.grad(mean.flatten()[channel], values)

        last = memory == "channels last"
        order = names[0] + names[2:] + names[1] if last else names
        # Cells numbered as memory runs, seen in the order of `names`.
        address = torch.arange(values.numel()).view([sizes[name] for name in order])
        return Cells(
            values=values.detach(),
            names=names,
            channel=channel,
            shared=slope != 0,
            address=address.movedim(-1, 1) if last else address,
            order=order,
            mean=mean.flatten()[channel].item(),
            var=var.flatten()[channel].item(),
        )

    def draw(self, figure: Figure, result: Cells) -> SharedCellsArtists:
        figure.set_layout_engine("none")
        return draw_shared_cells(figure.add_axes((0, 0, 1, 1)), result)

    def describe(self, result: Cells) -> str:
        count = int(result.shared.sum())
        length = count // result.runs
        runs = f"{result.runs} unbroken runs of {length}" if length > 1 else f"{count} single cells"
        return (
            f"{count} of {result.values.numel()} cells, all of channel {result.channel} in all "
            f"{len(result.values)} samples, share mean {result.mean:.2f} and variance "
            f"{result.var:.2f}. In {result.order} memory they lie as {runs}."
        )
