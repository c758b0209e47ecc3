"""Time every norm against torch.nn's layer and against plain autograd, in one interleaved run.

`python -m benchmarks.norms [--only NAME] [--seconds 1.5] [--threads 1]`. A figure is the median
time as a share of torch's on the same input: below 1 is faster than torch.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

import bnlab
from bnlab.functional import moments, normalize

Norm = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """One layer on one input: torch's, ours, and the formula under plain autograd."""

    name: str
    kind: str
    arguments: tuple[object, ...]
    shape: tuple[int, ...]
    dim: tuple[int, ...]
    channels_last: bool = False

    def input(self) -> Tensor:
        values = torch.randn(self.shape, generator=torch.Generator().manual_seed(0)) + 1.0
        return values.to(memory_format=torch.channels_last) if self.channels_last else values

    def layers(self) -> dict[str, Norm]:
        theirs = getattr(nn, self.kind)(*self.arguments)
        ours = getattr(bnlab, self.kind)(*self.arguments)
        ours.load_state_dict(theirs.state_dict())
        return {"torch": theirs, "ours": ours, "plain": self.plain(theirs)}

    def plain(self, layer: nn.Module) -> Norm:
        """The definition, and autograd's graph of it."""
        weight, bias = (
            None if parameter is None else parameter.view(self.broadcast(parameter))
            for parameter in (layer.weight, getattr(layer, "bias", None))
        )

        def norm(input: Tensor) -> Tensor:
            values = input
            if self.kind == "GroupNorm":
                values = input.unflatten(1, (self.arguments[0], -1))
            if self.kind == "RMSNorm":
                mean, var = input.new_zeros(()), input.square().mean(self.dim, keepdim=True)
            else:
                mean, var = moments(values, self.dim)
            normalized = normalize(values, mean, var).view_as(input)
            normalized = normalized if weight is None else normalized * weight
            return normalized if bias is None else normalized + bias

        return norm

    def broadcast(self, parameter: Tensor) -> tuple[int, ...]:
        if self.kind in ("LayerNorm", "RMSNorm"):
            return tuple(parameter.shape)
        return (1, -1, *[1] * (len(self.shape) - 2))


def cases() -> list[Case]:
    """The inputs of convolutional networks, of an MLP and of a transformer."""
    images = [(32, 64, 56, 56), (128, 16, 32, 32), (8, 256, 14, 14)]
    found = [
        Case(f"BatchNorm2d {shape}{layout}", "BatchNorm2d", (shape[1],), shape, (0, 2, 3), last)
        for last, layout in ((False, ""), (True, " channels_last"))
        for shape in images
    ]
    found += [Case(f"BatchNorm1d {s}", "BatchNorm1d", (s[1],), s, (0,)) for s in [(256, 128)]]
    found += [
        Case(f"InstanceNorm2d {s}", "InstanceNorm2d", (s[1], 1e-5, 0.1, True), s, (2, 3))
        for s in images
    ]
    found += [Case(f"GroupNorm 8 {s}", "GroupNorm", (8, s[1]), s, (2, 3, 4)) for s in images]
    for shape in [(64, 128, 512), (256, 1024), (8, 16, 128)]:
        for kind in ("LayerNorm", "RMSNorm"):
            found.append(Case(f"{kind} {shape}", kind, (shape[-1:],), shape, (-1,)))
    return found


def passes(case: Case) -> dict[str, dict[str, Callable[[], object]]]:
    """What is timed, by pass and by layer."""
    layers = case.layers()
    values = case.input()
    leaf = case.input().requires_grad_()
    upstream = torch.randn_like(values)

    def forward(norm: Norm) -> Callable[[], object]:
        return lambda: norm(leaf)

    def both(norm: Norm) -> Callable[[], object]:
        parameters = [leaf, *layers["torch"].parameters(), *layers["ours"].parameters()]

        def step() -> object:
            output = norm(leaf)
            return torch.autograd.grad(output, parameters, upstream, allow_unused=True)

        return step

    def evaluation(norm: Norm) -> Callable[[], object]:
        def answer() -> object:
            with torch.no_grad():
                return norm(values)

        return answer

    found = {
        "forward": {name: forward(norm) for name, norm in layers.items()},
        "forward+backward": {name: both(norm) for name, norm in layers.items()},
    }
    modules = {name: norm for name, norm in case.layers().items() if isinstance(norm, nn.Module)}
    found["eval"] = {name: evaluation(module.eval()) for name, module in modules.items()}
    return found


def medians(contestants: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Each one's median time in ms; they take turns, for `seconds` in all."""
    for contestant in contestants.values():
        contestant()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times["torch"]) < 7:
        for name, contestant in contestants.items():
            start = time.perf_counter()
            contestant()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(taken) for name, taken in times.items()}


def keep_pages() -> None:
    """Let freed memory stay in the process: else the system takes pages back at random times."""
    if sys.platform == "linux":
        trim_threshold, mmap_max = -1, -4
        libc = ctypes.CDLL(None)
        libc.mallopt(trim_threshold, -1)
        libc.mallopt(mmap_max, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--seconds", type=float, default=1.5, help="for each figure")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_pages()
    chosen = [case for case in cases() if options.only in case.name]
    lines = [f"{'':38}{'forward':>16}{'forward+backward':>20}{'eval':>8}"]
    lines += [f"{'':38}{'ours   plain':>16}{'ours   plain':>20}{'ours':>8}    torch's ms"]
    for case in tqdm(chosen, leave=False):
        shares, torch_ms = [], []
        for contestants in passes(case).values():
            taken = medians(contestants, options.seconds)
            shares += [taken[name] / taken["torch"] for name in taken if name != "torch"]
            torch_ms.append(f"{taken['torch']:.3f}")
        figures = "".join(f"{s:{w}.2f}" for s, w in zip(shares, (8, 8, 12, 8, 8), strict=True))
        lines.append(f"{case.name:38}{figures}    {' '.join(torch_ms)}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
