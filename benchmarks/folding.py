"""Time answers in eval mode with batch norm, torch's and ours, and with it folded away, in turns.

    python -m benchmarks.folding [--only NAME] [--turns 40] [--threads 1]

A figure is the median time of one batch in ms, and its share of torch's in the same row: below 1 is
faster than with torch's norms. What is left to gain depends on what else a network does: a norm
reads and writes every value once, a 3×3 convolution of many channels multiplies it hundreds of
times.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from tqdm import tqdm

import bnlab
from benchmarks.norms import keep_pages
from bnlab import models


@dataclass(frozen=True)
class Case:
    """A network and the batch it answers."""

    name: str
    build: Callable[[models.Norm], nn.Module]
    norm: str
    shape: tuple[int, ...]

    def contestants(self) -> dict[str, nn.Module]:
        """The same weights and statistics in each."""
        torch.manual_seed(0)
        theirs = self.build(getattr(nn, self.norm))
        # Statistics of its own, so that folding has something to fold.
        theirs(torch.randn(self.shape))
        ours = self.build(getattr(bnlab, self.norm))
        ours.load_state_dict(theirs.state_dict())
        folded = bnlab.fold(theirs.eval(), strict=True)
        return {"torch": theirs, "ours": ours.eval(), "folded": folded}


def small_cnn(norm: models.Norm) -> nn.Module:
    """Three convolutions, as for CIFAR's images."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 32), (32, 64), (64, 128)):
        convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        layers += [convolution, norm(outputs), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 16, 10))


CASES = [
    Case("MLP 64-128-64-10", lambda norm: models.mlp(64, norm), "BatchNorm1d", (64, 64)),
    Case("small CNN", small_cnn, "BatchNorm2d", (16, 3, 32, 32)),
    Case("ResNet-18", models.resnet18, "BatchNorm2d", (1, 3, 128, 128)),
    Case("MobileNetV2", models.mobilenet_v2, "BatchNorm2d", (1, 3, 128, 128)),
]


@torch.inference_mode()
def medians(contestants: dict[str, nn.Module], batch: Tensor, turns: int) -> dict[str, float]:
    """Each one's median time in ms; they take turns."""
    for _ in range(2):
        for model in contestants.values():
            model(batch)
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(turns):
        for name, model in contestants.items():
            start = time.perf_counter()
            model(batch)
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of a case's name")
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_pages()
    lines = [f"ms a batch, median of {options.turns} turns, {options.threads} thread(s)"]
    lines.append(f"{'':34}{'torch':>8}{'ours':>16}{'folded':>16}{'differs by':>12}")
    for case in tqdm([case for case in CASES if options.only in case.name], leave=False):
        contestants, batch = case.contestants(), torch.randn(case.shape)
        taken = medians(contestants, batch, options.turns)
        gap = (contestants["folded"](batch) - contestants["torch"](batch)).abs().max().item()
        figures = "".join(
            f"{ms:9.2f} ({ms / taken['torch']:.2f})" if name != "torch" else f"{ms:8.2f}"
            for name, ms in taken.items()
        )
        lines.append(f"{case.name + ' ' + str(case.shape):34}{figures}{gap:12.0e}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
