"""One training on several processes: is it the training that one process does on all samples?"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bnlab.data import Dataset, Split
from bnlab.experiments.one_process import NORMS, train, untrained
from bnlab.experiments.torchrun import run_under_torchrun
from bnlab.functional import moments
from bnlab.training.repeatable import exactly

DEALS = ("mixed", "by class")
WAYS = ("one process", *NORMS)
FIRST = ("outputs", "input gradients", "running_mean", "running_var")
"""What is compared after the first step, in which all ways have the same weights."""
SAME = 1e-12
"""In float64, what differs by less differs by rounding only."""


@dataclass(frozen=True, eq=False)
class Run:
    """A training, on one process or on several.

    Attributes:
        first: Of the first step: `outputs` (N, classes) and `input gradients` (N, 64), both in
            the order of the batch, and `running_mean` and `running_var` afterwards, one row a
            process, (P, C).
        loss: Of all samples of a batch, before each step, (T).
        accuracy: Share of right answers to the test digits at the end, in eval mode, of each
            process's network.
    """

    first: Mapping[str, Tensor]
    loss: Tensor
    accuracy: tuple[float, ...]


@dataclass(frozen=True, eq=False, repr=False)
class Processes:
    """The same training in three ways.

    Attributes:
        shares: How many samples of each batch each process has.
        deal: How the digits were dealt, one of `DEALS`.
        mean: What reaches the first norm in the first step: its mean within each process, (P, C).
        var: Its biased variance, likewise; NaN without samples.
        joint_mean: Its mean over the whole batch, (C).
        joint_var: And its variance.
        runs: By the words of `WAYS`.
    """

    shares: tuple[int, ...]
    deal: str
    mean: Tensor
    var: Tensor
    joint_mean: Tensor
    joint_var: Tensor
    runs: Mapping[str, Run]

    def differences(self, way: str) -> dict[str, float]:
        """The largest differences from one process, in the first step and in all losses."""
        run, joined = self.runs[way], self.runs["one process"]
        found = {name: _gap(run.first[name], joined.first[name]) for name in FIRST}
        return {**found, "losses": _gap(run.loss, joined.loss)}

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """A table of all differences, as text."""
        table: list[tuple[str, ...]] = [("largest difference", *FIRST, "losses", "accuracy")]
        for way, run in self.runs.items():
            gaps = [
                "" if way == "one process" else f"{gap:.2g}" if gap > SAME else f"< {SAME:g}"
                for gap in self.differences(way).values()
            ]
            low, high = (f"{100 * each(run.accuracy):.1f}" for each in (min, max))
            table.append((way, *gaps, f"{low} %" if low == high else f"{low} to {high} %"))
        return table

    def __repr__(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        lines = ("  ".join(map(str.rjust, row, widths)) for row in self.rows)
        return "\n".join([self._title, *lines])

    def _repr_html_(self) -> str:
        head, *body = (
            "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
            for row, tag in zip(self.rows, ("th", *["td"] * len(WAYS)), strict=True)
        )
        rows = "".join(f"<tr>{row}</tr>" for row in (head, *body))
        return f"<table><caption>{escape(self._title)}</caption>{rows}</table>"

    @property
    def _title(self) -> str:
        shares = " + ".join(map(str, self.shares))
        count = len(self.shares)
        return f"{count} processes with {shares} digits, {self.deal}, against one with all"


def train_on_processes(
    data: Dataset,
    shares: Sequence[int] = (8, 8),
    *,
    steps: int = 40,
    lr: float = 0.1,
    seed: int = 0,
    timeout: float = 240,
) -> dict[str, Processes]:
    """Train a small network under `torchrun`, with `BatchNorm` and `SyncBatchNorm`, and on one.

    Each process has its share of every batch, and `DistributedDataParallel` averages gradients. The
    network is `models.mlp`. Everything is in float64, and weights are rounded after each step as in
    `bnlab.training.repeatable`, so that the numbers are the same on every machine. A process's loss
    is the sum over its samples, times the number of processes, divided by all samples of the batch;
    with the mean of each share, the samples of a small share would count for more.

    Args:
        data: Digits, from `bnlab.data.digits(flat=True)`.
        shares: How many samples of each batch each process has; 0 is allowed.
        steps: How many batches there are.
        lr: Learning rate.
        seed: Of the weights and the batches.
        timeout: Seconds for all processes, start included.

    Returns:
        By how digits are dealt: 'mixed', each process has digits of all classes, or 'by class', the
        first process has the lowest digits, the last the highest.

    Raises:
        ValueError: A share is negative, or there are not two of them.
        RuntimeError: A process failed.
        TimeoutError: They took too long.

    Example:
        >>> from bnlab import data
        >>> train_on_processes(data.digits(flat=True), shares=(8,))
        Traceback (most recent call last):
        ValueError: shares are two numbers of samples or more, none negative, but are (8,)

    Statistics over all processes, where the share of each is small: Peng et al., "MegDet" (2018):
    https://arxiv.org/abs/1711.07240
    """
    shares = tuple(shares)
    if len(shares) < 2 or min(shares) < 0:
        raise ValueError(
            f"shares are two numbers of samples or more, none negative, but are {shares}"
        )
    data = exactly(data)
    task: dict[str, Any] = {
        "inputs": data.train.inputs,
        "targets": data.train.targets,
        "rows": {deal: _deal(data, shares, steps, deal, seed) for deal in DEALS},
        "shares": shares,
        "lr": lr,
        "seed": seed,
    }
    with tempfile.TemporaryDirectory() as folder:
        torch.save(task, Path(folder, "task.pt"))
        run_under_torchrun("bnlab.experiments.one_process", len(shares), folder, timeout=timeout)
        ranks = [
            torch.load(Path(folder, f"{rank}.pt"), weights_only=True) for rank in range(len(shares))
        ]
    found = {}
    for deal, rows in task["rows"].items():
        network = untrained(seed)
        before = network.linear1(data.train.inputs[rows[0]]).detach()
        alone = [moments(share, 0) for share in before.split(shares)]
        whole = train(network, network, task, rows, slice(None), 1)
        runs = {"one process": _join([(whole, network.state_dict())], data.test)}
        for norm in NORMS:
            runs[norm] = _join([rank[f"{deal}, {norm}"] for rank in ranks], data.test)
        mean, var = (torch.cat(each) for each in zip(*alone, strict=True))
        joint_mean, joint_var = (each.flatten() for each in moments(before, 0))
        found[deal] = Processes(shares, deal, mean, var, joint_mean, joint_var, runs)
    return found


def _deal(data: Dataset, shares: tuple[int, ...], steps: int, deal: str, seed: int) -> Tensor:
    """The samples of each batch, (T, N), the first process's first."""
    generator = torch.Generator().manual_seed(seed)
    targets, processes = data.train.targets, len(shares)
    turn = torch.arange(len(targets)) % processes
    part = targets * processes // len(data.classes) if deal == "by class" else turn
    columns = []
    for rank, share in enumerate(shares):
        mine = (part == rank).nonzero().flatten()
        columns.append(mine[torch.randint(len(mine), (steps, share), generator=generator)])
    return torch.cat(columns, 1)


def _join(ranks: list[tuple[dict[str, Tensor], dict[str, Tensor]]], test: Split) -> Run:
    """Put together what the processes found."""
    results, states = zip(*ranks, strict=True)
    first = {
        name: (torch.stack if name.startswith("running") else torch.cat)(
            [result[name] for result in results]
        )
        for name in FIRST
    }
    losses = torch.stack([result["losses"] for result in results]).sum(0)
    return Run(first, losses, tuple(_accuracy(state, test) for state in states))


@torch.no_grad()
def _accuracy(state: dict[str, Tensor], test: Split) -> float:
    network = untrained(0)
    network.load_state_dict(state)
    right: Tensor = network.eval()(test.inputs).argmax(1) == test.targets
    return right.double().mean().item()


def _gap(found: Tensor, expected: Tensor) -> float:
    return (found - expected).abs().max().item()
