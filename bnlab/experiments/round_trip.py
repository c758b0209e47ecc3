"""A trained network saved, loaded into a fresh one, and asked again: what came back?"""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bnlab import checkpoint
from bnlab.data import Split
from bnlab.models.partial import find_batch_norms

SAVED = ("everything", "parameters only", "without the counter", "from DataParallel")
LOADED = ("strict=True", "strict=False", "bnlab.checkpoint")
MODES = ("eval", "train")
BATCHES = ("mixed digits", "one class at a time", "one digit at a time")


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network said about every sample, and how it stood afterwards.

    Attributes:
        logits: One row a sample, (N, classes).
        accuracy: Share of samples whose highest logit is the right class's.
        mean: The last norm's `running_mean` after the answers, (C).
        var: Its `running_var`.
    """

    logits: Tensor
    accuracy: float
    mean: Tensor
    var: Tensor


@dataclass(frozen=True, eq=False)
class RoundTrip:
    """A network before it was saved and after it was loaded.

    Attributes:
        mode: In which the loaded network answered, one of `MODES`.
        batches: What both were asked about at once, one of `BATCHES`.
        original: The saved network's answers, in eval mode, to the same batches.
        entries: How many the state dict has.
        overwritten: How many of them loading changed in the fresh network.
        differing: Names of those that are not the saved network's.
        refused: The message where loading or answering failed, else empty.
        before: The loaded network's answers in eval mode; None where loading failed.
        answers: Its answers in `mode`; None where something failed.
        afterwards: Its answers in eval mode once more, after those.
    """

    mode: str
    batches: str
    original: Answers
    entries: int
    overwritten: int
    differing: tuple[str, ...]
    refused: str = ""
    before: Answers | None = None
    answers: Answers | None = None
    afterwards: Answers | None = None

    @property
    def every(self) -> list[Answers]:
        """All answers there are."""
        found = self.original, self.before, self.answers, self.afterwards
        return [answers for answers in found if answers is not None]

    def gap(self, answers: Answers) -> float:
        """The largest difference of a logit from the saved network's."""
        return (answers.logits - self.original.logits).abs().max().item()


def round_trips(
    model: nn.Module, fresh: nn.Module, split: Split
) -> dict[tuple[str, str, str, str], RoundTrip]:
    """Save `model` in four ways, load each file in three, and ask about every sample in six.

    What goes into the file: 'everything' is the state dict, 'parameters only' is
    `dict(model.named_parameters())`, 'without the counter' lacks `num_batches_tracked`, and 'from
    DataParallel' has `module.` before every name. How it is loaded: 'strict=True' and
    'strict=False' are those of `load_state_dict`, after `torch.load`; 'bnlab.checkpoint' is
    `bnlab.checkpoint.load`. What is asked at once: 'mixed digits' are as many batches as there are
    classes.

    Args:
        model: Trained, with batch norm; left as it is.
        fresh: The same architecture, untrained; each file is loaded into a copy of it.
        split: What is asked.

    Returns:
        The results, by the words of `SAVED`, `LOADED`, `MODES` and `BATCHES`.

    Example:
        >>> from bnlab import data, models
        >>> one, other = (models.mlp(64, nn.BatchNorm1d) for _ in range(2))
        >>> results = round_trips(one, other, data.digits(flat=True).test)
        >>> result = results["everything", "strict=True", "eval", "mixed digits"]
        >>> result.gap(result.answers), result.differing
        (0.0, ())
    """
    rows = {batches: _deal(split, batches) for batches in BATCHES}
    asked = copy.deepcopy(model).eval()
    originals = {batches: _ask(asked, split, rows[batches]) for batches in BATCHES}
    start, was = fresh.state_dict(), model.state_dict()
    results = {}
    for saved, loaded in product(SAVED, LOADED):
        other = copy.deepcopy(fresh)
        refused = _pass_through_file(_entries(model, saved), other, loaded)
        now = copy.deepcopy(other.state_dict())
        facts: dict[str, Any] = {
            "entries": len(was),
            "overwritten": sum(not torch.equal(start[name], now[name]) for name in start),
            "differing": tuple(name for name in was if not torch.equal(was[name], now[name])),
        }
        for batches, deal in rows.items():
            common = {**facts, "original": originals[batches], "refused": refused}
            other.load_state_dict(now)
            answered = {} if refused else _ask_in_both_modes(other, split, deal)
            for mode in MODES:
                found = RoundTrip(mode=mode, batches=batches, **(common | answered.get(mode, {})))
                results[saved, loaded, mode, batches] = found
    return results


def explain(result: RoundTrip) -> str:
    """Say in words what made the gap: what differs in the state, and what only the mode does."""
    if result.refused and result.before is None:
        if result.overwritten:
            return (
                f"But {result.overwritten} of {result.entries} entries had been overwritten when "
                "the error came: the network is half one, half the other."
            )
        return "The network is as it was."
    kinds = {name.rpartition(".")[2] for name in result.differing}
    if "weight" in kinds:
        state = "No name in the file fits, strict=False passes over that: the weights are fresh."
    elif "running_mean" in kinds:
        state = "The file has no running statistics: the means start from 0, the variances from 1."
    elif kinds:
        state = "Only the counter differs, and with a fixed momentum nothing asks for it."
    else:
        state = "Every entry came back bit for bit."
    if result.mode == "eval" or result.before is None:
        return state
    if result.refused:
        return f"{state} But train mode takes statistics from the batch, and one digit has none."
    gap = result.gap(result.before)
    return (
        f"{state} But in train mode it answers from each batch's own statistics, and moves the "
        f"running ones; in eval mode the largest gap would be {f'{gap:.1f}' if gap else 0}."
    )


def _ask_in_both_modes(
    model: nn.Module, split: Split, rows: list[Tensor]
) -> dict[str, dict[str, Any]]:
    """What a result holds about each mode."""
    before = _ask(model.eval(), split, rows)
    in_eval = {"before": before, "answers": before, "afterwards": before}
    in_train: dict[str, Any] = {"before": before}
    try:
        in_train["answers"] = _ask(model.train(), split, rows)
        in_train["afterwards"] = _ask(model.eval(), split, rows)
    except ValueError as error:
        in_train["refused"] = str(error)
    return {"eval": in_eval, "train": in_train}


def _entries(model: nn.Module, saved: str) -> dict[str, Tensor]:
    if saved == "parameters only":
        return dict(model.named_parameters())
    state = model.state_dict()
    for name in list(state):
        if saved == "without the counter" and name.endswith("num_batches_tracked"):
            del state[name]
        if saved == "from DataParallel":
            # As the wrapper names them; it would also move the model to a GPU where there is one.
            state[f"module.{name}"] = state.pop(name)
    return state


def _pass_through_file(state: dict[str, Tensor], model: nn.Module, loaded: str) -> str:
    """Save and load; return the message of the error, if there is one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pt")
        torch.save(state, path)
        try:
            if loaded == "bnlab.checkpoint":
                checkpoint.load(path, model)
            else:
                read = torch.load(path, weights_only=True)
                model.load_state_dict(read, strict=loaded == "strict=True")
        except (RuntimeError, checkpoint.CheckpointError) as error:
            return str(error).replace(str(path), path.name)
    return ""


def _deal(split: Split, batches: str) -> list[Tensor]:
    """The rows of each batch."""
    classes = split.targets.unique()
    rows = torch.arange(len(split.targets))
    if batches == "one class at a time":
        return [rows[split.targets == each] for each in classes]
    return list(rows.chunk(len(classes)) if batches == "mixed digits" else rows.split(1))


@torch.no_grad()
def _ask(model: nn.Module, split: Split, batches: list[Tensor]) -> Answers:
    logits = torch.cat([model(split.inputs[rows]) for rows in batches])
    logits = logits[torch.cat(batches).argsort()]
    right = (logits.argmax(1) == split.targets).double().mean().item()
    norm = find_batch_norms(model)[-1]
    return Answers(logits, right, norm.running_mean.clone(), norm.running_var.clone())
