"""Freezing: batch norms that stay as they are while the rest of the model goes on training."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bnlab.exercises import inputs
from bnlab.exercises.asking import Answers, Exercise, Question, Way, as_tensor
from bnlab.exercises.guard import NonsenseError, NotYetError
from bnlab.exercises.judging import judge
from bnlab.exercises.use_mistakes import FREEZING
from bnlab.exercises.verdict import Verdict

Freeze = Callable[[nn.Module], nn.Module | None]
MODEL = (
    "Sequential(Conv2d, BatchNorm2d, Flatten, Linear, BatchNorm1d, Dropout, "
    "Sequential(Linear, BatchNorm1d))"
)
NORMS = "1", "4", "6.1"
"""Their names in the model."""


def check_freezing(fn: Freeze) -> Verdict:
    r"""Check a function that freezes the batch norms of a model, statistics included.

    .. math::
        y = \gamma \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta, \qquad
        \mu, \sigma^2, \gamma, \beta \text{ constant}

    Afterwards the model is put in train mode and trained for a step, as in fine-tuning.

    Args:
        fn: `fn(model)`, which changes the model, or returns another one. The names in the state
            dict stay the same.

    Example:
        >>> from torch import nn
        >>> def freeze(model):
        ...     for module in model.modules():
        ...         if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        ...             module.requires_grad_(False)
        >>> check_freezing(freeze).mistakes
        ('statistics-not-frozen',)

    Wu & Johnson, "Rethinking 'Batch' in BatchNorm" (2021), section 3.3:
    https://arxiv.org/abs/2105.07576
    """
    return judge(exercise, fn)


def freeze(model: Any, way: Way) -> nn.Module:
    """Freeze, taken a given way."""
    for norm in _norms(model, way):
        if "affine-not-frozen" not in way:
            norm.requires_grad_(False)
        if "statistics-reset" in way:
            norm.reset_running_stats()
        if "eval-undone-by-train" in way:
            norm.eval()
        elif "momentum-zero" in way:
            norm.momentum = 0.0
        elif "tracking-switched-off" in way:
            norm.track_running_stats = False
        elif "statistics-not-frozen" not in way:
            norm.eval()
            norm.train = partial(_stay, norm)
    if "everything-frozen" in way:
        model.requires_grad_(False)
    if "model-in-eval" in way:
        model.eval()
        model.train = partial(_stay, model)
    return model  # type: ignore[no-any-return]


def _norms(model: nn.Module, way: Way) -> Iterator[Any]:
    kinds: dict[type[nn.Module], str] = {nn.BatchNorm1d: "1d-missed", nn.BatchNorm2d: "2d-missed"}
    modules = model.children() if "nested-missed" in way else model.modules()
    return (m for m in modules if type(m) in kinds and kinds[type(m)] not in way)


def _stay(module: nn.Module, mode: bool = True) -> nn.Module:  # noqa: ARG001 - which is the point
    return module


def _network() -> nn.Sequential:
    first = nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3, momentum=0.3), nn.Flatten()
    second = nn.Linear(12, 2), nn.BatchNorm1d(2, momentum=0.3), nn.Dropout(0.5)
    last = nn.Linear(2, 2), nn.BatchNorm1d(2, momentum=0.3)
    model = nn.Sequential(*first, *second, nn.Sequential(*last))
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                start = 1.0 if name.endswith("running_var") else 0.0
                value.copy_(start + inputs.upstream(value).abs())
    return model


def _images() -> Tensor:
    return inputs.images(2)[:, :, :, :2]


def _frozen(fn: Freeze) -> Any:
    """The model after `fn`."""
    model = _network()
    before = _look(model)
    result: object = fn(model)
    if result is None or result is ...:
        if _look(model) == before:
            raise NotYetError("The model is as it was. Are its norms, torch.nn's, found?")
        result = model
    if not isinstance(result, nn.Module):
        raise NonsenseError(f"a {type(result).__name__} came back: return the model, or nothing")
    return result


def _look(model: nn.Module) -> list[object]:
    """What freezing could have changed; not the tensors."""
    return [
        {name: value for name, value in vars(module).items() if not name.startswith("_")}
        | {name: p.requires_grad for name, p in module.named_parameters(recurse=False)}
        for module in model.modules()
    ]


def _entries(model: nn.Module, *names: str) -> dict[str, Tensor]:
    """What the state dict holds under some names."""
    state, like = model.state_dict(), _network().state_dict()
    missing = [name for name in names if name not in state]
    if missing:
        raise NonsenseError(f"{missing[0]} is no longer in the model's state dict")
    return {name: as_tensor(state[name], like[name], name) for name in names}


def _statistics(fn: Freeze, train: bool) -> Answers:
    model = _frozen(fn)
    if train:
        model.train()
    model(_images())
    kinds = "running_mean", "running_var", "num_batches_tracked"
    names = [f"{norm}.{kind}" for norm in NORMS for kind in kinds]
    return _entries(model, *names)


def _step(fn: Freeze) -> Answers:
    model = _frozen(fn)
    model.train()
    before = _network().state_dict()
    learning = [p for p in model.parameters() if p.requires_grad]
    if learning:
        model(_images()).square().mean().backward()
        with torch.no_grad():
            for parameter in learning:
                parameter.sub_(0.1 * (0.0 if parameter.grad is None else parameter.grad))
    state = model.state_dict()
    affine = [f"{norm}.{each}" for norm in NORMS for each in ("weight", "bias")]
    names = [*affine, "0.weight", "3.weight", "6.0.weight"]
    return {
        f"{name} {'stays' if name in affine else 'learns'}": (
            torch.equal(state[name], before[name]) == (name in affine)
        )
        for name in names
        if name in _entries(model, *names)
    }


def _output(fn: Freeze) -> Answers:
    """Of the first norm alone, in the model, in train mode."""
    model = _frozen(fn)
    model.train()
    x = _images()
    for name in ("0", NORMS[0]):
        x = model.get_submodule(name)(x)
    return {"output": as_tensor(x, torch.zeros(x.shape))}


def _others(fn: Freeze) -> Answers:
    model = _frozen(fn)
    model.train()
    dropout = [module for module in model.modules() if isinstance(module, nn.Dropout)]
    return {"dropout is in train mode": any(module.training for module in dropout)}


@functools.cache
def exercise() -> Exercise:
    """Questions, solution and mistakes of freezing."""
    given = {"model": MODEL}
    begin = "fn(model); model.train()"
    return Exercise(
        "freezing",
        (
            Question("fn(model); model(x)", partial(_statistics, train=False), given),
            Question(f"{begin}; model(x)", partial(_statistics, train=True), given),
            Question(f"{begin}; one step of gradient descent", _step, given),
            Question(f"{begin}; model[1](model[0](x))", _output, given),
            Question(begin, _others, given),
        ),
        lambda way: partial(freeze, way=way),
        FREEZING,
    )
