"""A training as an experiment, which waits for settings and a seed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import nn

from bnlab.data import Dataset
from bnlab.training.history import History
from bnlab.training.loop import Optimizer, Schedule, fit
from bnlab.training.repeatable import build_exactly, build_seeded, fit_repeatably

OF_SGD = ("lr", "momentum", "weight_decay")
OWN = ("epochs", "batch_size", *OF_SGD)


@dataclass(frozen=True, eq=False)
class Training:
    """Build a network and train it: one call is one run, for `sweep` to repeat.

    Args:
        build: Makes the model. A setting whose name is one of its parameters goes to it, and so
            does the run's seed if it takes a `seed`.
        data: What to train and test on.
        epochs: As in `fit`; like all that follow, unless a setting of a run says otherwise.
        batch_size: As in `fit`.
        lr: As in `fit`; a setting goes to `optimizer` if that has a parameter of this name.
        momentum: As `lr`.
        weight_decay: As `lr`.
        optimizer: As in `fit`; None is SGD.
        schedule: As in `fit`.
        keep: Whether `History.state` holds the trained model's state dict.
        repeatable: Whether it is trained by `fit_repeatably`, the same on any machine; False is
            `fit`, in the precision of the model and the data: about twice as fast, and two
            machines may part ways by more than the last digits.

    Example:
        >>> from bnlab import data, models
        >>> def build(norm: bool) -> nn.Module:
        ...     return models.mlp(64, nn.BatchNorm1d if norm else None)
        >>> run = Training(build, data.digits(flat=True), epochs=2)
        >>> history = run(seed=0, norm=True, lr=0.05)
        >>> len(history.test_loss), history.test_accuracy[-1] > 0.9
        (2, True)
    """

    build: Callable[..., nn.Module]
    data: Dataset
    epochs: int = 10
    batch_size: int = 64
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    optimizer: Optimizer | None = None
    schedule: Schedule | None = None
    keep: bool = False
    repeatable: bool = True

    def __call__(self, seed: int = 0, **settings: Any) -> History:
        """Train one model: the seed decides its weights and the order of the samples.

        Args:
            seed: Of all that is drawn.
            **settings: Arguments of `build`, and what overrides the fields of this training.

        Raises:
            ValueError: Neither `build` nor the training knows a setting; else as `fit` raises it.
        """
        given = self.given(settings)
        model = given.model(seed)
        own: dict[str, Any] = {
            "seed": seed,
            "epochs": given.epochs,
            "batch_size": given.batch_size,
            "lr": given.lr,
            "momentum": given.momentum,
            "weight_decay": given.weight_decay,
            "optimizer": given.optimizer,
            "schedule": given.schedule,
            "progress": False,
        }
        if given.repeatable:
            _, history = fit_repeatably(lambda: model, given.data, **own)
        else:
            history = fit(model, given.data, **own)
        if given.keep:
            history.state = model.state_dict()
        return history

    def given(self, settings: Mapping[str, Any]) -> Training:
        """Return this training with the settings in their places.

        Raises:
            ValueError: Neither `build` nor the training knows a setting.
        """
        built = {name: value for name, value in settings.items() if _takes(self.build, name)}
        others = {name: value for name, value in settings.items() if name not in built}
        optimizer = self.optimizer
        for name in others:
            if name not in OWN:
                raise ValueError(
                    f"there is no place for the setting {name!r}: build takes "
                    f"{_named(self.build)}, and the training {', '.join(OWN)}"
                )
            if optimizer is not None and name in OF_SGD:
                if not _takes(optimizer, name):
                    raise ValueError(
                        f"{name!r} would change nothing, since the training has its own optimizer: "
                        f"let that take it, as in `lambda params, {name}: ...`"
                    )
                optimizer = partial(optimizer, **{name: others[name]})
        return replace(self, build=partial(self.build, **built), optimizer=optimizer, **others)

    def model(self, seed: int) -> nn.Module:
        """Build the model of a run, with the weights it starts from; repeatable is in float64."""
        build = build_exactly if self.repeatable else build_seeded
        return build(partial(self.build, **self._seed(seed)), seed)

    def _seed(self, seed: int) -> dict[str, int]:
        return {"seed": seed} if _takes(self.build, "seed") else {}


def _takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function has a parameter of this name, or takes any."""
    parameters = inspect.signature(function).parameters
    any_name = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return (any_name and name not in OWN) or (
        name in parameters and parameters[name].kind is not inspect.Parameter.POSITIONAL_ONLY
    )


def _named(function: Callable[..., Any]) -> str:
    return ", ".join(inspect.signature(function).parameters) or "nothing"
