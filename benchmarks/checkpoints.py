"""Saving and loading against torch.save and torch.load(weights_only=True), in turns.

    python -m benchmarks.checkpoints [--mib 100] [--turns 15] [--threads 1] [--folder /tmp]

The network is a chain of linear layers and batch norms. After every load each value is touched: a
mapped file is read no sooner; what that takes where nothing is loaded stands beside. The files are
in the system's memory, as they are after a save. What one has left to be written is on the disk
before the clock of the next one runs, and memory that is free again is given back: torch takes half
as long where it finds some that is mapped already, but a program loads once. A figure is the median
time, and its share of torch's in the same block: below 1 is faster than torch.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

import bnlab
from bnlab import checkpoint

WIDE = 1024
# What is to be reached, of torch's time.
WANTED = {
    "read, not verified": 0.2,
    "read": 1.0,
    "save": 1.2,
}


def network(mib: int) -> nn.Module:
    """A layer of 4 MiB, a batch norm, and so on."""
    pairs = [(nn.Linear(WIDE, WIDE), bnlab.BatchNorm1d(WIDE)) for _ in range(max(1, mib // 4))]
    return nn.Sequential(*(layer for pair in pairs for layer in pair))


def touch(state: Mapping[str, Tensor]) -> float:
    """Read every value."""
    return float(sum(value.sum() for value in state.values()))


def sync(path: Path) -> None:
    """Wait until the file is on the disk."""
    descriptor = os.open(path, os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)


def give_memory_back() -> None:
    """Return freed memory to the system: a program that loads once finds none mapped already."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # of Linux; elsewhere free memory may stay mapped


def blocks(mib: int, folder: Path) -> dict[str, dict[str, Callable[[], object]]]:
    """What is timed; the first of each block is torch's."""
    model, other = network(mib), network(mib)
    state = model.state_dict()
    theirs, ours = folder / "model.pt", folder / "model.safetensors"
    torch.save(model.state_dict(), theirs)
    checkpoint.save(ours, model)

    def torch_load(mmap: bool = False) -> dict[str, Tensor]:
        return torch.load(theirs, weights_only=True, mmap=mmap)

    def torch_into_model() -> None:
        other.load_state_dict(torch_load())
        touch(other.state_dict())

    def into_model(verify: bool) -> None:
        checkpoint.load(ours, other, verify=verify)
        touch(other.state_dict())

    def torch_save() -> None:
        torch.save(model.state_dict(), theirs)

    def torch_save_durably() -> None:
        torch_save()
        sync(theirs)

    return {
        "the state dict": {
            "torch.load": lambda: touch(torch_load()),
            "torch.load, mmap": lambda: touch(torch_load(mmap=True)),
            "read, not verified": lambda: touch(checkpoint.read(ours, verify=False)),
            "read": lambda: touch(checkpoint.read(ours)),
            "only to touch the values": lambda: touch(state),
        },
        "into a model": {
            "torch.load, load_state_dict": torch_into_model,
            "load, not verified": lambda: into_model(verify=False),
            "load": lambda: into_model(verify=True),
        },
        "to a file": {
            "torch.save": torch_save,
            "save": lambda: checkpoint.save(ours, model),
        },
        "to a file, on the disk": {
            "torch.save, fsync": torch_save_durably,
            "save": lambda: checkpoint.save(ours, model),
        },
    }


def medians(contestants: Mapping[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Each one's median time in ms; they take turns, the first after the last."""
    for contestant in contestants.values():
        contestant()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(turns):
        for name, contestant in contestants.items():
            if hasattr(os, "sync"):
                os.sync()
            give_memory_back()
            start = time.perf_counter()
            contestant()
            times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=100, help="of the state dict")
    parser.add_argument("--turns", type=int, default=15, help="of each block")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="on the disk to be timed")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = [f"{options.mib} MiB, median of {options.turns} turns, {options.threads} thread(s)"]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for title, contestants in tqdm(blocks(options.mib, Path(folder)).items(), leave=False):
            taken = medians(contestants, options.turns)
            lines.append(f"\n{title:30}{'ms':>8}{'of torch':>11}{'wanted':>9}")
            theirs = next(iter(taken.values()))
            for name, ms in taken.items():
                wanted = WANTED.get(name, "") if title != "to a file, on the disk" else ""
                lines.append(f"  {name:28}{ms:8.1f}{ms / theirs:11.2f}{wanted:>9}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
