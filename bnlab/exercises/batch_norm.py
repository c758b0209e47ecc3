"""The whole layer: arithmetic, gradients, modes, state, options."""

from __future__ import annotations

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bnlab.exercises import inputs, steps
from bnlab.exercises.asking import (
    RIGHT,
    Answers,
    Exercise,
    Question,
    Way,
    as_tensor,
    mistakes,
)
from bnlab.exercises.catalogue import CATALOGUE, MODES
from bnlab.exercises.guard import Failure, attempt
from bnlab.exercises.judging import judge
from bnlab.exercises.layer import Layer
from bnlab.exercises.modes import unanswered
from bnlab.exercises.sessions import STATISTICS, Build, Sessions, get, new, statistics
from bnlab.exercises.verdict import Verdict


def check_batch_norm(fn_or_class: Callable[..., Any]) -> Verdict:
    r"""Check a batch norm: what it computes, how it learns, what it keeps.

    .. math::
        y = \gamma \frac{x - \mu_C}{\sqrt{\sigma_C^2 + \epsilon}} + \beta

    Args:
        fn_or_class: A module's class, with the arguments, attributes, buffers and state dict of
            `torch.nn.BatchNorm2d`; or a function with the arguments of
            `torch.nn.functional.batch_norm`, which changes the running statistics in place or
            returns them after the output.

    Shape:
        - inputs: :math:`(N, C)` or :math:`(N, C, *)`. A class that refuses some of them by a
          `ValueError`, as torch's do, is asked about the others.

    Example:
        >>> check_batch_norm(nn.BatchNorm2d)
        batch norm: ✓ passed
        >>> class Norm(nn.BatchNorm2d):
        ...     def __init__(self, num_features, eps=1e-5, momentum=0.1, *rest, **options):
        ...         super().__init__(num_features, eps, momentum and 1 - momentum, *rest, **options)
        >>> check_batch_norm(Norm).mistakes
        ('momentum-reversed',)

    The checklist is that of https://pytorch.org/docs/stable/generated/torch.nn.BatchNorm2d.html
    """
    if unanswered(fn_or_class):
        return Verdict("batch norm", "not yet")
    build = fn_or_class
    if callable(fn_or_class) and not isinstance(fn_or_class, type | functools.partial | nn.Module):
        build = partial(_AroundFunction, function=fn_or_class)
    return judge(lambda: exercise(*_dimensions(build)), build)


class _AroundFunction(Layer):
    """A layer whose state is right, around a function that does the rest."""

    def __init__(self, *args: Any, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(*args, **options, way=RIGHT)
        self.function = function

    def forward(self, input: Tensor) -> Any:
        momentum, counter = self.momentum, self.num_batches_tracked
        if self.training and counter is not None:
            counter.add_(1)
            momentum = 1 / int(counter) if momentum is None else momentum
        training = self.training or self.running_mean is None
        result = self.function(
            input, self.running_mean, self.running_var, self.weight, self.bias, training,
            momentum, self.eps,
        )  # fmt: skip
        if isinstance(result, tuple | list) and len(result) == 3:
            result, self.running_mean, self.running_var = result
        return result


def _dimensions(build: Build) -> tuple[int, tuple[int, ...]]:
    """How many dimensions most questions have, and which others are asked about."""
    if not callable(build) or isinstance(build, nn.Module):
        return 4, ()
    taken = []
    for dim in (4, 3, 5, 2):
        x = inputs.in_dimensions(inputs.images(), dim)
        answer = attempt(lambda x=x: new(build, 3)(x))  # type: ignore[misc]
        if isinstance(answer, Failure) and answer.kind == "hangs":
            break
        if not (isinstance(answer, Failure) and answer.error is ValueError):
            taken.append(dim)
    home, *also = taken or (4, 3, 5, 2)
    return home, tuple(also)


class _Whole(Sessions):
    """All that a layer is asked."""

    def whole(self) -> tuple[Question, ...]:
        cube, images = self.large(inputs.cube()), self.large(inputs.images())
        shown = {"weight": inputs.gamma(2), "bias": inputs.beta(2)}
        two = f"layer = cls(2, eps={inputs.EPS}, momentum={inputs.MOMENTUM})"
        three = two.replace("2", "3", 1)
        pair = self.small(inputs.two_channels())
        return (
            *self.modes(),
            Question(f"{two}; layer(x)", self.pair, {"x": pair, **shown}),
            Question(f"{two}; layer(x)", self.cube, {"x": cube, **shown}),
            Question(f"{three}; layer(x)", self.images, {"x": images}),
            Question(f"{two}; layer(x).backward(g)", self.gradients, {"x": cube, **shown}),
            *(
                Question(
                    f"{three}; layer(x)", partial(self.other, dim), {"x": f"of {dim} dimensions"}
                )
                for dim in self.also
            ),
            Question("cls(3).state_dict().keys()", state),
            Question("cls(3).named_parameters()", parameters),
            Question("layer = cls(3).double()", doubled),
            Question('layer = cls(3).to("meta")', on_meta),
            Question(
                f"{two}; layer(x); layer(x); layer.eval(); layer(x)", self.counter, {"x": pair}
            ),
            Question(
                "layer = cls(2, momentum=None); layer(x); layer(x + 1); layer(x + 3)",
                self.cumulative,
                {"x": pair},
            ),
            Question("layer = cls(2, affine=False); layer(x)", self.plain, {"x": cube}),
            Question(
                "layer = cls(2, track_running_stats=False); layer(x); layer.eval(); layer(x)",
                self.untracked,
                {"x": cube},
            ),
        )

    def pair(self, build: Build) -> Answers:
        x = self.small(inputs.two_channels())
        return {
            "output": as_tensor(with_affine(new(build, 2), 2)(x), self.small(inputs.two_channels()))
        }

    def cube(self, build: Build) -> Answers:
        x = self.large(inputs.cube())
        return {"output": as_tensor(with_affine(new(build, 2), 2)(x), self.large(inputs.cube()))}

    def images(self, build: Build) -> Answers:
        layer = with_affine(new(build, 3), 3)
        layer(self.large(inputs.images()))
        x = self.large(inputs.images(seed=1))
        output = as_tensor(layer(x), x)
        return {"output of a second batch": output, **statistics(layer, 3)}

    def gradients(self, build: Build) -> Answers:
        layer = with_affine(new(build, 2), 2)
        leaf = self.large(inputs.cube()).requires_grad_()
        output = layer(leaf * 1)
        output.backward(inputs.upstream(leaf.detach()))
        found = {"x": leaf, "weight": get(layer, "weight"), "bias": get(layer, "bias")}
        return {
            f"gradient of {name}": as_tensor(
                t.grad if t.grad is not None else "none", t.detach(), name
            )
            for name, t in found.items()
        }

    def other(self, dim: int, build: Build) -> Answers:
        x = inputs.in_dimensions(inputs.images(), dim)
        layer = with_affine(new(build, 3), 3)
        output = as_tensor(layer(x), x)
        return {"output": inputs.back_to_images(output, inputs.images()), **statistics(layer, 3)}

    def counter(self, build: Build) -> Answers:
        layer = new(build, 2)
        x = self.small(inputs.two_channels())
        layer(x), layer(x), layer.eval()(x)
        return {"num_batches_tracked": get(layer, "num_batches_tracked").double()}

    def cumulative(self, build: Build) -> Answers:
        layer = new(build, 2, momentum=None)
        for shift in (0.0, 1.0, 3.0):
            layer(self.small(inputs.two_channels()) + shift)
        return statistics(layer, 2)

    def plain(self, build: Build) -> Answers:
        layer, x = new(build, 2, affine=False), self.large(inputs.cube())
        return {
            "output": as_tensor(layer(x), self.large(inputs.cube())),
            "layer.weight is None": getattr(layer, "weight", None) is None,
        }

    def untracked(self, build: Build) -> Answers:
        layer, x = new(build, 2, track_running_stats=False), self.large(inputs.square())
        train = as_tensor(layer(x.clone()), x)
        return {
            "output": train,
            "output in eval mode": as_tensor(layer.eval()(x.clone()), x),
            "layer.running_mean is None": getattr(layer, "running_mean", None) is None,
        }


def with_affine(layer: Any, channels: int) -> Any:
    """Set gamma and beta away from 1 and 0."""
    with torch.no_grad():
        get(layer, "weight").copy_(inputs.gamma(channels))
        get(layer, "bias").copy_(inputs.beta(channels))
    return layer


def state(build: Build) -> Answers:
    """What would be saved."""
    keys = new(build, 3).state_dict()
    return {f"{name} is there": name in keys for name in (*STATISTICS, "num_batches_tracked")}


def parameters(build: Build) -> Answers:
    """What would be trained."""
    names = dict(new(build, 3).named_parameters())
    return {f"{n} is there": n in names for n in ("weight", "bias", *STATISTICS)}


def doubled(build: Build) -> Answers:
    """What changes its dtype with the layer."""
    layer = new(build, 3).double()
    return {f"dtype of {name}": str(get(layer, name).dtype) for name in STATISTICS}


def on_meta(build: Build) -> Answers:
    """What changes its device with the layer; the meta device stands for any other."""
    layer = new(build, 3).to("meta")
    return {f"device of {name}": str(get(layer, name).device) for name in STATISTICS}


@functools.cache
def exercise(home: int = 4, also: tuple[int, ...] = (2, 3, 5)) -> Exercise:
    """Questions, solution and mistakes of the whole layer."""
    return Exercise(
        "batch norm",
        _Whole(home, also).whole(),
        lambda way: partial(Layer, way=way),
        mistakes(CATALOGUE, *MISTAKES),
        Way(steps.AXES),
    )


MISTAKES = (
    "eps-outside-root",
    "eps-ignored",
    "variance-for-root",
    "unbiased-normalising",
    "shortcut-variance",
    "mean-not-subtracted",
    "affine-swapped",
    "affine-on-last-axis",
    "affine-on-batch-axis",
    "gamma-ignored",
    "beta-ignored",
    "beta-before-gamma",
    *steps.AXES,
    "not-2d",
    "not-5d",
    "only-4d",
    "input-changed",
    "momentum-reversed",
    "momentum-squared",
    "momentum-ignored",
    "old-value-kept-whole",
    "updated-twice",
    "no-update",
    "biased-storing",
    "eps-in-running-var",
    "std-stored",
    "running-not-detached",
    "variance-around-running-mean",
    *(mistake.slug for mistake in MODES),
    "not-through-mean",
    "not-through-variance",
    "not-through-statistics",
    "statistics-not-in-buffers",
    "statistics-not-saved",
    "statistics-not-moved",
    "statistics-trained",
    "affine-not-parameters",
    "counter-missing",
    "counter-not-counted",
    "cumulative-ignored",
    "affine-false-ignored",
    "tracking-false-ignored",
)
