"""Train a classifier, the same way each time, and keep what happened."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bnlab.data import Dataset, Split


@dataclass(repr=False)
class History:
    r"""What `fit` saw.

    Attributes:
        loss: Of each step, on that step's batch.
        train_accuracy: After each epoch, in eval mode, between 0 and 1.
        test_accuracy: The same on the test split.
        ratios: For each weight matrix the size of each step's update beside the weight's own,
            :math:`\|\Delta W\| / \|W\|`; empty unless asked for.
        seconds: How long it took.
        stopped: Why training ended early; empty if it did not.
    """

    loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    ratios: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    stopped: str = ""

    def __repr__(self) -> str:
        if not self.loss:
            return "History(0 steps)"
        parts = [
            f"{len(self.test_accuracy)} epochs, {len(self.loss)} steps",
            f"loss {self.loss[0]:.3f} → {self.loss[-1]:.3f}",
            f"accuracy {self.train_accuracy[-1]:.3f} (train), {self.test_accuracy[-1]:.3f} (test)",
            f"{self.seconds:.1f} s",
        ]
        return f"History({'; '.join(parts + ([self.stopped] if self.stopped else []))})"


def fit(
    model: nn.Module,
    data: Dataset,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
    lr: float = 0.1,
    seed: int = 0,
    progress: bool = True,
    on_step: Callable[[int, float], None] | None = None,
    ratios: bool = False,
) -> History:
    r"""Train `model` in place by the cross-entropy of its outputs, and return what happened.

    The same model, data and seed give the same history. The batches' order comes from a generator
    of its own; the global CPU generator, which dropout draws from, is seeded for the training and
    put back after it. Every batch is full: what is left over at an epoch's end waits for a later
    one, since a few samples give batch normalisation poor statistics, and a single one none.

    Args:
        model: Takes a batch of inputs and returns one score for each class.
        data: What to train and test on.
        epochs: Passes over the training split.
        batch_size: Samples in a step.
        optimizer: Takes the parameters and returns an optimizer, for example
            `lambda params: torch.optim.Adam(params, lr=1e-3)`; None is SGD with `lr` and
            momentum 0.9.
        lr: Learning rate of that SGD; of no account beside an `optimizer`.
        seed: Decides the order of the samples and what dropout drops.
        progress: Whether a bar shows how far the training is.
        on_step: Called after each step with its number (from 0) and its loss.
        ratios: Whether `History.ratios` is filled.

    Shape:
        - inputs: :math:`(N, *)`, whatever `model` takes
        - targets: :math:`(N)`, int64
        - scores: :math:`(N, classes)`

    Raises:
        ValueError: The data are empty or do not fit each other, a batch is larger than the
            training split, or the model has nothing to train.

    Example:
        >>> from bnlab import data, models
        >>> digits = data.digits(flat=True)
        >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
        <torch._C.Generator object at ...>
        >>> model = models.mlp(64, nn.BatchNorm1d)
        >>> history = fit(model, digits, epochs=2, progress=False)
        >>> len(history.loss), history.test_accuracy[-1] > 0.9
        (42, True)

    Training stops, and `History.stopped` says so, at the first loss that is not finite; that step
    is not taken.
    """
    _check(data, epochs, batch_size)
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("the model has no parameter that requires a gradient: nothing to train")
    if optimizer is None:
        optimize: torch.optim.Optimizer = torch.optim.SGD(parameters, lr=lr, momentum=0.9)
    else:
        optimize = optimizer(parameters)
    device = parameters[0].device
    train, test = (
        Split(s.inputs.to(device), s.targets.to(device)) for s in (data.train, data.test)
    )
    weights = {n: p for n, p in model.named_parameters() if p.requires_grad and p.dim() > 1}
    history = History(ratios={name: [] for name in weights} if ratios else {})
    order = torch.Generator().manual_seed(seed)
    steps = epochs * len(_batches(train, batch_size, torch.Generator()))
    start = time.perf_counter()

    with (
        _mode(model, training=True),
        torch.random.fork_rng(devices=[]),
        torch.enable_grad(),
        _bar(steps, progress) as bar,
    ):
        torch.default_generator.manual_seed(seed)
        for epoch in range(epochs):
            for rows in _batches(train, batch_size, order):
                loss = cross_entropy(model(train.inputs[rows]), train.targets[rows])
                history.loss.append(loss.item())
                if not math.isfinite(history.loss[-1]):
                    history.stopped = (
                        f"stopped in epoch {epoch + 1} at step {len(history.loss) - 1}: "
                        f"the loss is {history.loss[-1]}; try a smaller learning rate"
                    )
                    break
                optimize.zero_grad()
                loss.backward()
                before = {n: w.detach().clone() for n, w in weights.items()} if ratios else {}
                optimize.step()
                for name, old in before.items():
                    update = weights[name].detach() - old
                    history.ratios[name].append((update.norm() / old.norm()).item())
                if on_step is not None:
                    on_step(len(history.loss) - 1, history.loss[-1])
                if bar is not None:
                    bar.update()
            history.train_accuracy.append(accuracy(model, train))
            history.test_accuracy.append(accuracy(model, test))
            if bar is not None:
                bar.set_postfix(test=f"{history.test_accuracy[-1]:.3f}")
            if history.stopped:
                break
    history.seconds = time.perf_counter() - start
    return history


def accuracy(model: nn.Module, split: Split, *, batch_size: int = 1024) -> float:
    """Return the share of `split` whose highest score is the right class's, in eval mode.

    The mode of the model and of each of its modules is put back afterwards.

    Args:
        model: Takes a batch of inputs and returns one score for each class.
        split: Inputs and targets, on the model's device.
        batch_size: How many are answered at once; the answer does not depend on it.

    Shape:
        - scores: :math:`(N, classes)`; a sample with a score that is not finite counts as wrong

    Example:
        >>> split = Split(torch.eye(3), torch.tensor([0, 1, 1]))
        >>> round(accuracy(nn.Identity(), split), 3)
        0.667
    """
    right = 0
    with _mode(model, training=False), torch.no_grad():
        for inputs, targets in zip(
            split.inputs.split(batch_size), split.targets.split(batch_size), strict=True
        ):
            scores = model(inputs)
            right += int(((scores.argmax(1) == targets) & scores.isfinite().all(1)).sum())
    return right / len(split.targets)


def _batches(split: Split, batch_size: int, order: torch.Generator) -> list[Tensor]:
    rows = torch.randperm(len(split.targets), generator=order).split(batch_size)
    return [batch for batch in rows if len(batch) == batch_size]


@contextmanager
def _mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put all modules in one mode, and each back in its own: one may have been frozen."""
    before = [(module, module.training) for module in model.modules()]
    try:
        model.train(training)
        yield
    finally:
        for module, was in before:
            module.training = was


@contextmanager
def _bar(steps: int, progress: bool) -> Iterator[Any]:
    if not progress:
        yield None
        return
    from tqdm.auto import tqdm

    with tqdm(total=steps, unit="step") as bar:
        yield bar


def _check(data: Dataset, epochs: int, batch_size: int) -> None:
    for name, split in (("train", data.train), ("test", data.test)):
        inputs, targets = split.inputs, split.targets
        if len(inputs) == 0:
            raise ValueError(f"data.{name} is empty: give it at least one sample")
        if targets.dim() != 1 or targets.dtype != torch.int64:
            raise ValueError(
                f"data.{name}.targets has shape {tuple(targets.shape)} and dtype {targets.dtype}: "
                "give one class index a sample, shape (N,) and dtype torch.int64; "
                "argmax(1) makes it of one-hot rows"
            )
        if len(inputs) != len(targets):
            raise ValueError(
                f"data.{name} has {len(inputs)} inputs and {len(targets)} targets: "
                "give each input its target"
            )
    if not 1 <= batch_size <= len(data.train.inputs):
        raise ValueError(
            f"batch_size is {batch_size}, and data.train has {len(data.train.inputs)} samples: "
            "choose a batch_size from 1 to that number"
        )
    if epochs < 1:
        raise ValueError(f"epochs is {epochs}: train for at least 1")
