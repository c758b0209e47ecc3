"""Many trainings as one: their models' weights stacked, each step a single batched computation."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.functional import cross_entropy

from bnlab.data import Dataset, Split
from bnlab.training.checks import check_data, check_scores, count_classes
from bnlab.training.history import History
from bnlab.training.loop import EVALUATED, batches
from bnlab.training.repeatable import exactly, round_
from bnlab.training.stack_norm import quicken

PLAIN = (str, int, float, bool, type(None), type, FunctionType, torch.dtype, torch.device)
HOOKED = "a model with hooks is not trained in a stack"


@dataclass(frozen=True)
class Descent:
    """How one model of a stack goes downhill, by SGD."""

    seed: int
    lr: float
    momentum: float
    weight_decay: float


def architecture(model: nn.Module) -> Hashable:
    """Return what two models must share to be trained as one: all but the values of their tensors.

    Raises:
        TypeError: The model cannot be compared: it has hooks, or attributes that are not plain.
    """
    tensors = [
        (name, tensor.shape, tensor.dtype, tensor.requires_grad) for name, tensor in _tensors(model)
    ]
    if any(p._backward_hooks or p._post_accumulate_grad_hooks for p in model.parameters()):
        raise TypeError(HOOKED)
    modules = [
        (name, type(module), *((key, _plain(key, value)) for key, value in _own(module)))
        for name, module in model.named_modules(remove_duplicate=False)
    ]
    return tuple(tensors), tuple(modules)


def fit_stack(
    models: Sequence[nn.Module],
    data: Dataset,
    descents: Sequence[Descent],
    *,
    epochs: int,
    batch_size: int,
    keep: bool = False,
    repeatable: bool = True,
) -> list[History]:
    r"""Train models of one architecture side by side, as a plain loop does one after another.

    A model whose loss is no longer finite leaves the stack; the others go on.

    Args:
        models: As they start; changed.
        data: What to train and test on.
        descents: Of each model.
        epochs: As in `fit`.
        batch_size: As in `fit`.
        keep: Whether `History.state` holds the trained model's state dict.
        repeatable: Whether as `fit_repeatably`, with models in float64; else as `fit`.

    Raises:
        ValueError: As `fit` raises it.
        RuntimeError: The models do something that cannot be batched, such as drawing at random.
    """
    check_data(data, epochs, batch_size)
    if any(min(d.lr, d.momentum, d.weight_decay) < 0 for d in descents):
        raise ValueError("lr, momentum and weight_decay are not negative")
    start = time.perf_counter()
    _hold_on_to_memory()
    stack = _Stack(models, exactly(data) if repeatable else data, descents, keep, repeatable)
    orders = [torch.Generator().manual_seed(descent.seed) for descent in descents]
    for epoch in range(epochs):
        # Drawn for those that have left, too: a place in the stack then always finds its own.
        dealt = [batches(len(data.train.targets), batch_size, order) for order in orders]
        for step in range(len(dealt[0])):
            stack.step(torch.stack([dealt[place][step] for place in stack.places]), epoch)
            if not stack.places:
                break
        stack.note(range(len(stack.places)))
        if not stack.places:
            break
    stack.leave([])
    for history in stack.histories:
        history.seconds = (time.perf_counter() - start) / len(models)
    return stack.histories


class _Stack:
    """The models that still train, as tensors with one more dimension in front."""

    def __init__(
        self,
        models: Sequence[nn.Module],
        data: Dataset,
        descents: Sequence[Descent],
        keep: bool,
        repeatable: bool,
    ) -> None:
        self.data, self.keep, self.repeatable = data, keep, repeatable
        self.places = list(range(len(models)))
        self.histories = [History() for _ in models]
        self.tensors = {
            name: torch.stack([dict(_tensors(model))[name] for model in models]).detach()
            for name, _ in _tensors(models[0])
        }
        self.names = [name for name, p in models[0].named_parameters() if p.requires_grad]
        if not self.names:
            raise ValueError("the models have no parameter that requires a gradient")
        self.kept = [name for name in models[0].state_dict() if name in self.tensors]
        for name in self.names:
            self._settle(self.tensors[name]).requires_grad_()
        self.velocities = {name: torch.zeros_like(self.tensors[name]) for name in self.names}
        dtype = self.tensors[self.names[0]].dtype
        self.descent = {
            field: torch.tensor([getattr(d, field) for d in descents], dtype=dtype)
            for field in ("lr", "momentum", "weight_decay")
        }
        self.decays = any(d.weight_decay for d in descents)
        # Only its code is needed; its tensors are replaced in every call.
        self.model = quicken(models[0].to("meta"))

    def answer(self, inputs: Tensor, *, each: bool) -> Tensor:
        """Return (model, sample, class): to inputs of its own for each model, or the same."""

        def one(tensors: dict[str, Tensor], inputs: Tensor) -> Tensor:
            scores: Tensor = functional_call(self.model, tensors, (inputs,))
            check_scores(scores, len(inputs), count_classes(self.data))
            return scores

        scores: Tensor = vmap(one, in_dims=(0, 0 if each else None))(self.tensors, inputs)
        return scores

    def step(self, rows: Tensor, epoch: int) -> None:
        """Train each model on its rows, (model, sample); those that diverge leave."""
        train = self.data.train
        self.model.train()
        scores = self.answer(train.inputs[rows], each=True)
        loss = _losses(scores, train.targets[rows]).mean(1)
        gradients = torch.autograd.grad(
            loss.sum(), [self.tensors[name] for name in self.names], allow_unused=True
        )
        found = {n: g for n, g in zip(self.names, gradients, strict=True) if g is not None}
        going = [
            i
            for i, (place, value) in enumerate(zip(self.places, loss.tolist(), strict=True))
            if self.histories[place].take(value, epoch)
        ]
        if len(going) < len(self.places):
            self.note([i for i in range(len(self.places)) if i not in going])
            self.leave(going)
            found = {name: gradient[going] for name, gradient in found.items()}
        with torch.no_grad():
            for name, gradient in found.items():
                self._descend(self.tensors[name], gradient, self.velocities[name])

    def _descend(self, weight: Tensor, gradient: Tensor, velocity: Tensor) -> None:
        lr, momentum, decay = (
            value.view(-1, *[1] * (weight.dim() - 1)) for value in self.descent.values()
        )
        if self.decays:
            gradient = gradient + decay * weight
        velocity.mul_(momentum).add_(gradient)
        self._settle(weight.addcmul_(velocity, lr, value=-1))

    def _settle(self, weight: Tensor) -> Tensor:
        return round_(weight) if self.repeatable else weight

    @torch.no_grad()
    def note(self, members: Sequence[int]) -> None:
        """Write into the histories of these members how good they are now."""
        if not members:
            return
        self.model.eval()
        for split, name in ((self.data.train, "train"), (self.data.test, "test")):
            losses, rights = self._evaluate(split)
            for i in members:
                history = self.histories[self.places[i]]
                getattr(history, f"{name}_loss").append(losses[i])
                getattr(history, f"{name}_accuracy").append(rights[i])

    def _evaluate(self, split: Split) -> tuple[list[float], list[float]]:
        loss = right = torch.zeros(len(self.places), dtype=torch.float64)
        for inputs, targets in zip(
            split.inputs.split(EVALUATED), split.targets.split(EVALUATED), strict=True
        ):
            scores = self.answer(inputs, each=False)
            loss = loss + _losses(scores, targets.expand(len(scores), -1)).sum(1)
            sound = (scores.argmax(2) == targets) & scores.isfinite().all(2)
            right = right + sound.sum(1)
        count = len(split.targets)
        return (loss / count).tolist(), (right / count).tolist()

    def leave(self, staying: list[int]) -> None:
        """Take all but these members out of the stack, keeping their weights if wanted."""
        for i, place in enumerate(self.places):
            if self.keep and i not in staying:
                self.histories[place].state = {
                    name: self.tensors[name][i].detach().clone() for name in self.kept
                }
        self.places = [self.places[i] for i in staying]
        for tensors in (self.tensors, self.velocities, self.descent):
            for name, tensor in tensors.items():
                tensors[name] = tensor.detach()[staying].requires_grad_(tensor.requires_grad)


def _hold_on_to_memory() -> None:
    """Have freed memory used again: else every step asks the system for it, and gives it back.

    glibc gives back what is freed at the end of the heap once it is more than twice the largest
    block that was ever mapped and freed, of up to 32 MiB; elsewhere this does nothing.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8)


def _losses(scores: Tensor, targets: Tensor) -> Tensor:
    """Of each model and sample."""
    flat = cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="none")
    return flat.view(targets.shape)


def _tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _own(module: nn.Module) -> list[tuple[str, Any]]:
    left_out = ("_parameters", "_buffers", "_modules", "training")
    return sorted((key, value) for key, value in vars(module).items() if key not in left_out)


def _plain(key: str, value: Any) -> Hashable:
    if isinstance(value, (tuple, list)):
        return tuple(_plain(key, part) for part in value)
    if key.endswith("_hooks") or "_hooks_" in key:
        if value:
            raise TypeError(HOOKED)
        return key
    if isinstance(value, (set, frozenset)):
        return frozenset(_plain(key, part) for part in value)
    if type(value) in PLAIN or isinstance(value, type):
        plain: Hashable = value
        return plain
    raise TypeError(f"the attribute {key} is a {type(value).__name__}, which is not compared")
