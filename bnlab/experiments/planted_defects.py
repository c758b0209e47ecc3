"""Break a healthy network somewhere: what does `examine` find, and what does it cost?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bnlab.data import Dataset, Split
from bnlab.examination import Examination, Finding
from bnlab.experiments.planting import DEFECTS, LAYERS, Sick, plant, train_healthy

__all__ = ["DEFECTS", "LAYERS", "Case", "Cases", "plant", "planted_defects", "train_healthy"]

SMALL = 8
"""Digits in a small batch."""
LR = 0.02
"""Of the epoch that comes after."""


@dataclass(frozen=True, eq=False)
class Case:
    """A planted defect, what was found, and how well the network still reads.

    Attributes:
        defect: One of `DEFECTS`.
        layer: Where it was planted; empty where that is the whole network.
        examination: Of the sick network.
        found: The finding about it; None if there is none of that kind in that layer.
        answers: Test accuracy in eval mode; NaN where it cannot answer.
        small: Test accuracy as the network stands, mode included, on batches of `SMALL` digits.
        later: Test accuracy in eval mode after another epoch of training in train mode; NaN where
            that cannot be.
    """

    defect: str
    layer: str
    examination: Examination
    found: Finding | None
    answers: float
    small: float
    later: float


@dataclass(frozen=True, eq=False, repr=False)
class Cases:
    """Planted defects and findings, a row for each; a table as text and as HTML.

    Attributes:
        healthy: The network without a defect.
        cases: Those with one.
    """

    healthy: Case
    cases: tuple[Case, ...]

    def __repr__(self) -> str:
        rows = [self._head(), *map(self._row, (self.healthy, *self.cases))]
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ("  ".join(c.ljust(w) for c, w in zip(row, wide, strict=True)) for row in rows)
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        def line(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(line(self._row(case), "td") for case in (self.healthy, *self.cases))
        return f"<table><thead>{line(self._head(), 'th')}</thead><tbody>{body}</tbody></table>"

    @staticmethod
    def _head() -> Sequence[str]:
        return "defect", "planted in", "found", "severity", "eval mode", "as it stands", "later"

    @staticmethod
    def _row(case: Case) -> Sequence[str]:
        found = case.found
        if case.defect not in DEFECTS:
            what = "no error, no warning" if case.examination else "something"
        else:
            what = f"{found.kind}: {found.layer or 'the model'}" if found else "not found"
            # The layer before a norm, or a norm that is in two places, goes by its own name.
            other = found and case.layer not in ("", found.layer) and case.layer in found.message
            what += f" ({case.layer})" if other else ""
        shares = (case.answers, case.small, case.later)
        percent = ("–" if share != share else f"{100 * share:.1f} %" for share in shares)
        place = case.layer or ("the network" if case.defect in DEFECTS else "")
        return case.defect, place, what, found.severity if found else "–", *percent


def planted_defects(
    model: nn.Sequential,
    data: Dataset,
    *,
    defects: Sequence[str] = tuple(DEFECTS),
    layers: Sequence[str] = LAYERS,
) -> Cases:
    """Plant each defect in each layer, examine the network, and see what it costs.

    Args:
        model: From `train_healthy`; left as it is.
        data: What it was trained on.
        defects: Some of `DEFECTS`.
        layers: Some of `LAYERS`.

    Raises:
        ValueError: There is no such defect or layer.

    Example:
        >>> from bnlab.data import digits
        >>> data = digits(flat=True)
        >>> model = train_healthy(data, epochs=2)
        >>> cases = planted_defects(model, data, defects=["dead gamma"], layers=["norm1"])
        >>> case = cases.cases[0]
        >>> case.found.kind, case.found.layer, case.answers < cases.healthy.answers
        ('dead-gamma', 'norm1', True)
    """
    healthy = Sick(model, data.train.inputs[:256].split(64), at="")
    cases = [
        _case(plant(model, defect, layer, data), defect, layer, model, data)
        for defect in defects
        for layer in (layers if defect not in DEFECTS or DEFECTS[defect].local else ("",))
    ]
    return Cases(_case(healthy, "nothing", "", model, data), tuple(cases))


def _case(sick: Sick, defect: str, layer: str, healthy: nn.Module, data: Dataset) -> Case:
    examination = sick.examine()
    kind = DEFECTS[defect].kind if defect in DEFECTS else ""
    found = (each for each in examination.findings if (each.kind, each.layer) == (kind, sick.at))
    model = _load(sick.subject, healthy)
    asked, standing = (copy.deepcopy(model) for _ in range(2))
    whole = len(data.test.targets)
    return Case(
        defect,
        layer,
        examination,
        next(found, None),
        _or_nan(lambda: _read(asked.eval(), data.test, whole)),
        _or_nan(lambda: _read(standing, data.test, SMALL)),
        _or_nan(lambda: _read(_train_on(model, sick, data), data.test, whole)),
    )


def _load(subject: nn.Module | Mapping[str, Tensor], healthy: nn.Module) -> nn.Module:
    """The network; or, from a state dict, what strict=False makes of it and a new network."""
    if isinstance(subject, nn.Module):
        return copy.deepcopy(subject)
    model = copy.deepcopy(healthy)
    for name in LAYERS:
        norm: Any = model.get_submodule(name)
        norm.reset_running_stats()
    model.load_state_dict(subject, strict=False)
    return model


def _or_nan(measure: Callable[[], float]) -> float:
    try:
        return measure()
    except (RuntimeError, ValueError):
        return torch.nan


@torch.no_grad()
def _read(model: nn.Module, split: Split, batch_size: int) -> float:
    """The share read rightly, in the mode that each layer is in."""
    batches = split.inputs.to(next(model.parameters()).dtype).split(batch_size)
    # What is left over could be a single digit, on which train mode raises.
    scores = torch.cat([model(each) for each in batches if len(each) == batch_size])
    right = (scores.argmax(1) == split.targets[: len(scores)]) & scores.isfinite().all(1)
    return right.double().mean().item()


def _train_on(model: nn.Module, sick: Sick, data: Dataset) -> nn.Module:
    """Train for one epoch more, as the network is used, and put it in eval mode."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=LR)
    inputs = data.train.inputs.to(next(model.parameters()).dtype)
    rows = torch.randperm(sick.samples, generator=torch.Generator().manual_seed(0))
    model.train()
    for step, batch in enumerate(rows.split(sick.batch_size), start=1):
        loss = cross_entropy(model(inputs[batch]), data.train.targets[batch])
        (loss / sick.accumulation).backward()
        if step % sick.accumulation == 0:
            optimizer.step()
            optimizer.zero_grad()
    model.eval()
    return model
