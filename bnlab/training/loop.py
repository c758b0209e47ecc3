"""Train a classifier, the same way each time, and keep what happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bnlab.borrowing import in_mode
from bnlab.data import Dataset, Split
from bnlab.recording import record as record_statistics
from bnlab.training.checks import check_data, check_schedule, check_scores, count_classes
from bnlab.training.history import History

Optimizer = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]
Schedule = Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]
EVALUATED = 1024
"""Samples answered at once after each epoch."""


def fit(
    model: nn.Module,
    data: Dataset,
    *,
    epochs: int = 10,
    batch_size: int = 64,
    optimizer: Optimizer | None = None,
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    schedule: Schedule | None = None,
    seed: int = 0,
    progress: bool = True,
    on_step: Callable[[int, float], None] | None = None,
    ratios: bool = False,
    record: Mapping[str, Any] | None = None,
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
            `lambda params: torch.optim.Adam(params, lr=1e-3)`; None is SGD with `lr`, `momentum`
            and `weight_decay`, which are of no account beside an `optimizer`.
        lr: Learning rate of that SGD.
        momentum: Its momentum.
        weight_decay: Its weight decay, of all parameters alike.
        schedule: Takes the optimizer and returns a scheduler of `torch.optim.lr_scheduler`, which
            moves on once a *step*: there are `epochs * (samples // batch_size)` of them. For
            example `lambda optimizer: CosineAnnealingLR(optimizer, T_max=210)`.
        seed: Decides the order of the samples and what dropout drops.
        progress: Whether a bar shows how far the training is.
        on_step: Called after each step with its number (from 0) and its loss.
        ratios: Whether `History.ratios` is filled.
        record: Arguments of `bnlab.record`, for example `{"layers": nn.BatchNorm1d, "every": 10}`,
            to fill `History.recording`; `{}` records every layer in every step.

    Shape:
        - inputs: :math:`(N, *)`, whatever `model` takes
        - targets: :math:`(N)`, int64
        - scores: :math:`(N, classes)`

    Raises:
        ValueError: The data are empty or do not fit each other, a batch is larger than the
            training split, the model has nothing to train or returns another shape.
        TypeError: `schedule` makes something that wants more than to be told of a step.

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
    check_data(data, epochs, batch_size)
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("the model has no parameter that requires a gradient: nothing to train")
    if optimizer is None:
        optimize: torch.optim.Optimizer = torch.optim.SGD(
            parameters, lr=lr, momentum=momentum, weight_decay=weight_decay
        )
    else:
        optimize = optimizer(parameters)
    scheduler = None if schedule is None else check_schedule(schedule(optimize))
    device, classes = parameters[0].device, count_classes(data)
    train, test = (
        Split(s.inputs.to(device), s.targets.to(device)) for s in (data.train, data.test)
    )
    weights = {n: p for n, p in model.named_parameters() if p.requires_grad and p.dim() > 1}
    history = History(ratios={name: [] for name in weights} if ratios else {})
    order = torch.Generator().manual_seed(seed)
    start = time.perf_counter()

    with ExitStack() as during:
        during.enter_context(in_mode(model, training=True))
        during.enter_context(torch.random.fork_rng(devices=[]))
        during.enter_context(torch.enable_grad())
        bar = during.enter_context(_bar(epochs * (len(train.targets) // batch_size), progress))
        if record is not None:
            history.recording = during.enter_context(record_statistics(model, **record))
        torch.default_generator.manual_seed(seed)
        for epoch in range(epochs):
            for rows in batches(len(train.targets), batch_size, order):
                scores = model(train.inputs[rows])
                check_scores(scores, batch_size, classes)
                loss = cross_entropy(scores, train.targets[rows])
                if not history.take(loss.item(), epoch):
                    break
                optimize.zero_grad()
                loss.backward()
                before = {n: w.detach().clone() for n, w in weights.items()} if ratios else {}
                optimize.step()
                if scheduler is not None:
                    scheduler.step()
                for name, old in before.items():
                    update = weights[name].detach() - old
                    history.ratios[name].append((update.norm() / old.norm()).item())
                if on_step is not None:
                    on_step(len(history.loss) - 1, history.loss[-1])
                if bar is not None:
                    bar.update()
            for split, losses, accuracies in (
                (train, history.train_loss, history.train_accuracy),
                (test, history.test_loss, history.test_accuracy),
            ):
                mean, share = _evaluate(model, split, EVALUATED)
                losses.append(mean)
                accuracies.append(share)
            if bar is not None:
                bar.set_postfix(test=f"{history.test_accuracy[-1]:.3f}")
            if history.stopped:
                break
    history.seconds = time.perf_counter() - start
    return history


def accuracy(model: nn.Module, split: Split, *, batch_size: int = EVALUATED) -> float:
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
    return _evaluate(model, split, batch_size)[1]


def batches(samples: int, batch_size: int, order: torch.Generator) -> list[Tensor]:
    """Deal the samples into full batches, in an order drawn anew."""
    rows = torch.randperm(samples, generator=order).split(batch_size)
    return [batch for batch in rows if len(batch) == batch_size]


def _evaluate(model: nn.Module, split: Split, batch_size: int) -> tuple[float, float]:
    """Mean loss and accuracy in eval mode."""
    loss, right = 0.0, 0
    with in_mode(model, training=False), torch.no_grad():
        for inputs, targets in zip(
            split.inputs.split(batch_size), split.targets.split(batch_size), strict=True
        ):
            scores = model(inputs)
            loss += float(cross_entropy(scores, targets, reduction="sum"))
            right += int(((scores.argmax(1) == targets) & scores.isfinite().all(1)).sum())
    return loss / len(split.targets), right / len(split.targets)


@contextmanager
def _bar(steps: int, progress: bool) -> Iterator[Any]:
    if not progress:
        yield None
        return
    from tqdm.auto import tqdm

    with tqdm(total=steps, unit="step") as bar:
        yield bar
