"""Questions to a whole layer, beside those about its modes: values, gradients, state, options."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from bnlab.exercises import inputs
from bnlab.exercises.asking import Answers, Question, as_tensor
from bnlab.exercises.sessions import STATISTICS, Build, Sessions, get, new, statistics


class WholeLayer(Sessions):
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
