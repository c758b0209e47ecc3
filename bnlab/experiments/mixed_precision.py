"""Batch norm in mixed precision: which types it works in, and how NaN gets in and stays."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bnlab import models, training
from bnlab.data import Dataset, Split
from bnlab.layers import BatchNorm1d
from bnlab.recalibration import recalibrate
from bnlab.training.loop import batches
from bnlab.training.repeatable import build_seeded

HANDLINGS = ("plain", "scaled", "guarded")
TOO_LARGE = 1e6
"""What one pixel of the spoilt batch is: finite in float32, infinite in float16."""


@dataclass(frozen=True)
class LayerTypes:
    """The types that a layer holds, takes and gives; empty where there are none.

    Attributes:
        layer: Dotted name.
        kind: Name of its class.
        parameters: Type of its weight.
        statistics: Type of its running variance.
        input: Type of what comes in.
        output: Type of what goes out.
    """

    layer: str
    kind: str
    parameters: str
    statistics: str
    input: str
    output: str


@torch.no_grad()
def types_in(
    model: nn.Module, batch: Tensor, *, autocast: torch.dtype | None = None
) -> list[LayerTypes]:
    """Return the types in each layer of `model` in a forward pass, with or without autocast.

    Args:
        model: Any; a copy of it is run, in its mode.
        batch: What it is run on.
        autocast: The lower type of `torch.autocast`, or None to run without it.

    Shape:
        - batch: :math:`(N, *)`, whatever `model` takes

    Example:
        >>> model = models.two_layer(nn.BatchNorm1d)
        >>> for row in types_in(model, torch.rand(4, 10), autocast=torch.bfloat16)[:2]:
        ...     print(row.kind, row.parameters, row.statistics or "-", row.input, row.output)
        Linear float32 - float32 bfloat16
        BatchNorm1d float32 float32 bfloat16 bfloat16

    https://docs.pytorch.org/docs/stable/amp.html
    """
    model = copy.deepcopy(model)
    rows = []
    for name, layer in model.named_modules():
        if next(layer.children(), None) is None:

            def see(
                layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor, name: str = name
            ) -> None:
                held = getattr(layer, "weight", None), getattr(layer, "running_var", None)
                types = (_name(tensor) for tensor in (*held, inputs[0], output))
                rows.append(LayerTypes(name, type(layer).__name__, *types))

            layer.register_forward_hook(see)
    with torch.autocast(batch.device.type, autocast, enabled=autocast is not None):
        model(batch)
    return rows


@dataclass(frozen=True, eq=False)
class SpoiltTraining:
    """A training in mixed precision in which one batch held a value that is too large.

    Attributes:
        handling: One of `HANDLINGS`.
        dtype: The lower type's name.
        glitch: The step of that batch.
        loss: Of each step, (T).
        skipped: Steps that the gradient scaler did not take.
        counted: Batches that the statistics have counted in the end.
        broken: After each step, the share of running statistics that are NaN or infinite, (T).
        eval_accuracy: After each step, on the test split, with the running statistics, (T).
        train_accuracy: The same in train mode: the test digits as one batch, with its own, (T).
        weights_finite: Whether no weight is NaN or infinite in the end.
        recalibrated: Accuracy in eval mode after `recalibrate`; None where it refused.
    """

    handling: str
    dtype: str
    glitch: int
    loss: Tensor
    skipped: tuple[int, ...]
    counted: int
    broken: Tensor
    eval_accuracy: Tensor
    train_accuracy: Tensor
    weights_finite: bool
    recalibrated: float | None


def train_through_glitch(
    data: Dataset,
    handling: str,
    *,
    dtype: torch.dtype = torch.float16,
    glitch: int = 30,
    steps: int = 80,
    batch_size: int = 64,
    lr: float = 0.1,
    seed: int = 0,
) -> SpoiltTraining:
    """Train the perceptron with batch norm under autocast, one pixel of one batch far too large.

    'plain' takes every step. 'scaled' uses `torch.amp.GradScaler`, which skips a step whose
    gradients are not finite; but the forward pass has moved the running statistics by then.
    'guarded' puts them back, too, where the loss is not finite.

    Args:
        data: Flat pictures.
        handling: One of `HANDLINGS`.
        dtype: The lower type of autocast.
        glitch: The step whose batch is spoilt.
        steps: Of the training.
        batch_size: Samples in each.
        lr: Learning rate of SGD with momentum 0.9.
        seed: Of weights and order.

    Shape:
        - inputs: :math:`(N, features)`

    Raises:
        ValueError: `handling` is another word, or there is no step `glitch`.

    Example:
        >>> from bnlab import data
        >>> digits = data.digits(flat=True)
        >>> spoilt = train_through_glitch(digits, "scaled", glitch=2, steps=4)
        >>> spoilt.skipped, spoilt.weights_finite, spoilt.broken.tolist()
        ((2,), True, [0.0, 0.0, 1.0, 1.0])

    Micikevicius et al., "Mixed Precision Training" (2018): https://arxiv.org/abs/1710.03740
    """
    if handling not in HANDLINGS:
        raise ValueError(f"handling is one of {', '.join(HANDLINGS)}, but is {handling!r}")
    if not 0 <= glitch < steps:
        raise ValueError(f"glitch is a step from 0 to {steps - 1}, but is {glitch}")
    features, classes = data.train.inputs.shape[1], len(data.classes)
    model = build_seeded(lambda: models.mlp(features, BatchNorm1d, classes=classes), seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", enabled=handling != "plain")
    order = torch.Generator().manual_seed(seed)
    rows: list[Tensor] = []
    while len(rows) < steps:
        rows += batches(len(data.train.targets), batch_size, order)
    losses, skipped, broken, in_eval, in_train = [], [], [], [], []
    for step in range(steps):
        inputs, targets = data.train.inputs[rows[step]], data.train.targets[rows[step]]
        if step == glitch:
            inputs[0, inputs[0].argmax()] = TOO_LARGE
        before = [buffer.clone() for buffer in model.buffers()]
        model.train()
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype):
            loss = cross_entropy(model(inputs), targets)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scale = scaler.get_scale()
        scaler.update()
        if scaler.get_scale() < scale:
            skipped.append(step)
        if handling == "guarded" and not loss.isfinite():
            for buffer, value in zip(model.buffers(), before, strict=True):
                buffer.copy_(value)
        losses.append(loss.detach())
        broken.append(1 - _share_finite(model.buffers()))
        in_eval.append(training.accuracy(model, data.test))
        in_train.append(_accuracy_in_train_mode(model, data.test))
    return SpoiltTraining(
        handling=handling,
        dtype=_name(torch.empty(0, dtype=dtype)),
        glitch=glitch,
        loss=torch.stack(losses),
        skipped=tuple(skipped),
        counted=int(model.state_dict()["norm1.num_batches_tracked"]),
        broken=torch.tensor(broken),
        eval_accuracy=torch.tensor(in_eval),
        train_accuracy=torch.tensor(in_train),
        weights_finite=_share_finite(model.parameters()) == 1,
        recalibrated=_recalibrated(model, data),
    )


def _recalibrated(model: nn.Module, data: Dataset) -> float | None:
    try:
        recalibrate(model, data.train.inputs.split(256))
    except ValueError:
        return None
    return training.accuracy(model, data.test)


@torch.no_grad()
def _accuracy_in_train_mode(model: nn.Module, split: Split) -> float:
    outputs = copy.deepcopy(model).train()(split.inputs)
    right = (outputs.argmax(1) == split.targets) & outputs.isfinite().all(1)
    return float(right.double().mean())


def _share_finite(tensors: Iterable[Tensor]) -> float:
    values = torch.cat([tensor.detach().flatten() for tensor in tensors if tensor.dim() > 0])
    return float(values.isfinite().double().mean())


def _name(tensor: Tensor | None) -> str:
    return "" if tensor is None else str(tensor.dtype).removeprefix("torch.")
