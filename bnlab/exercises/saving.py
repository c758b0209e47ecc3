"""Saving: a file from which the whole model comes back, its running statistics included."""

from __future__ import annotations

import contextlib
import functools
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bnlab import checkpoint
from bnlab.exercises import inputs
from bnlab.exercises.asking import Answers, Exercise, Question, Way
from bnlab.exercises.guard import NonsenseError, NotYetError
from bnlab.exercises.judging import judge
from bnlab.exercises.use_mistakes import SAVING
from bnlab.exercises.verdict import Verdict

Save = Callable[[nn.Module, Path], object]
CALL = "fn(model, path)"
LOST = {
    "parameters-only": ("running_mean", "running_var", "num_batches_tracked"),
    "counter-lost": ("num_batches_tracked",),
    "buffers-only": ("weight", "bias"),
    "biases-lost": ("bias",),
}
"""What does not reach the file, by the last part of its name."""


def check_saving(fn: Save) -> Verdict:
    """Check a function that saves a model to a file.

    The file is read back without running anything that is in it, by `torch.load` with
    `weights_only=True` or, if it is one of safetensors, by `bnlab.checkpoint`. The state dict may
    be all of it or one entry, such as "model".

    Args:
        fn: `fn(model, path)`, which writes the file.

    Example:
        >>> def save(model, path):
        ...     torch.save(dict(model.named_parameters()), path)
        >>> check_saving(save).mistakes
        ('parameters-only',)

    PyTorch, "Saving and Loading Models":
    https://docs.pytorch.org/tutorials/beginner/saving_loading_models.html
    """
    return judge(exercise, fn)


def save(model: nn.Module, path: Path, way: Way) -> None:
    """Save, taken a given way."""
    if "model-changed" in way:
        model.eval()
    if "statistics-moved" in way:
        model.train()(_batch())
    if "whole-model" in way:
        torch.save(model, path)
        return
    lost = [name for slug in way & LOST.keys() for name in LOST[slug]]
    state: dict[str, Any] = {
        name: value
        for name, value in model.state_dict().items()
        if name.rpartition(".")[2] not in lost
    }
    if "rounded" in way:
        state = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    if "names-changed" in way:
        state = {f"module.{name}": value for name, value in state.items()}
    torch.save(state, path)


def _batch() -> Tensor:
    return inputs.two_channels()


def _network() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(inputs.upstream(parameter))
    for shift in (0.0, 1.0, 5.0):
        model(_batch() + shift)
    return model


@contextlib.contextmanager
def _saved(fn: Save) -> Iterator[tuple[nn.Sequential, Path]]:
    """A model after `fn`, and the path that the file should be at."""
    with tempfile.TemporaryDirectory() as folder:
        model, path = _network(), Path(folder, "model.pt")
        result = fn(model, path)
        if not path.exists():
            others = [each.name for each in Path(folder).iterdir()]
            if others:
                raise NonsenseError(f"there is no file at path, but there is {others[0]}")
            if result is not None and result is not ...:
                raise NonsenseError("something came back, but no file was written to path")
            raise NotYetError("There is no file at path.")
        yield model, path


def _read(path: Path) -> Mapping[str, Tensor]:
    if checkpoint.contents.tell_format(path) == checkpoint.contents.SAFETENSORS:
        return {name: value.clone() for name, value in checkpoint.read(path).items()}
    with warnings.catch_warnings(action="ignore"):  # of files in which pickles are bare
        held = torch.load(path, weights_only=True)
    inner = [held, *(held.values() if isinstance(held, Mapping) else ())]
    states = [
        each
        for each in inner
        if isinstance(each, Mapping) and each and all(isinstance(v, Tensor) for v in each.values())
    ]
    if not states:
        raise NonsenseError("the file holds no state dict: names with tensors")
    # Beside it there may be small ones, such as an optimizer's.
    return max(states, key=len)


def _holds(fn: Save) -> Answers:
    """Which names, and whether with the model's values."""
    with _saved(fn) as (_, path):
        state = _read(path)
    right = _network().state_dict()
    there = {f"{name} is in the file": name in state for name in right}
    equal = {
        f"{name} has the model's value": name not in state
        or torch.equal(state[name].double(), value.double())
        for name, value in right.items()
    }
    return {**there, **equal}


def _reads(fn: Save) -> Answers:
    with _saved(fn) as (_, path):
        try:
            _read(path)
        except NonsenseError:
            raise
        except Exception:
            return {"the file can be read without running what is in it": False}
    return {"the file can be read without running what is in it": True}


def _leaves_alone(fn: Save) -> Answers:
    with _saved(fn) as (model, _):
        pass
    right = _network().state_dict()
    return {
        "the model's mode is as before": all(module.training for module in model.modules()),
        "the model's values are as before": all(
            torch.equal(value, right[name]) for name, value in model.state_dict().items()
        ),
    }


@functools.cache
def exercise() -> Exercise:
    """Questions, solution and mistakes of saving."""
    given = {"model": "Sequential(Linear(2, 3), BatchNorm1d(3), ReLU(), Linear(3, 2))"}
    return Exercise(
        "saving",
        (
            Question(CALL, _reads, given),
            Question(CALL, _holds, given),
            Question(CALL, _leaves_alone, given),
        ),
        lambda way: partial(save, way=way),
        SAVING,
    )
