"""Running statistics in half precision: updates too small to be stored."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bnlab import training
from bnlab.data import Dataset
from bnlab.experiments.running_spread import into_first_norm
from bnlab.functional import moments
from bnlab.layers import BatchNorm1d
from bnlab.models.partial import find_batch_norms
from bnlab.training.loop import batches


@dataclass(frozen=True, eq=False)
class StoredStatistics:
    """Running statistics that were kept in some type while batches passed by.

    Attributes:
        dtype: The type's name.
        momentum: The weight of each new batch.
        lost: Share of the updates that changed nothing, since less than half a unit in the last
            place was to be added.
        mean_error: After each step, how far the running means are from the population's, in its
            standard deviations; root mean square over channels, (T).
        std_error: How far the running standard deviations are, as a share of the population's.
        accuracy: On the test split, with these statistics in the first norm.
    """

    dtype: str
    momentum: float
    lost: float
    mean_error: Tensor
    std_error: Tensor
    accuracy: float


@torch.no_grad()
def store_statistics(
    model: nn.Module,
    data: Dataset,
    dtype: torch.dtype,
    *,
    momentum: float = 0.1,
    steps: int = 1000,
    batch_size: int = 64,
    seed: int = 0,
) -> StoredStatistics:
    r"""Let the first norm of a trained network start its statistics anew, stored in `dtype`.

    .. math::
        r \leftarrow \operatorname{round}\big((1 - m)\, r + m\, b\big)

    The arithmetic is float32's, as everywhere in a norm; only what is stored is rounded. Weights
    stand still, so the statistics have one aim: the population's.

    Args:
        model: Trained, its first norm a `BatchNorm1d` of a linear layer; left as it is.
        data: The training split passes by in batches, the test split is answered at the end.
        dtype: What the running statistics are stored in.
        momentum: :math:`m`, the weight of a new batch.
        steps: How many batches pass.
        batch_size: Samples in each.
        seed: Of their order.

    Shape:
        - inputs: :math:`(N, *)`, whatever `model` takes

    Example:
        >>> from bnlab import data, models
        >>> digits, model = data.digits(flat=True), models.mlp(64, BatchNorm1d)
        >>> stored = store_statistics(model, digits, torch.bfloat16, momentum=0.001, steps=50)
        >>> stored.lost > 0.5
        True
    """
    model = copy.deepcopy(model).eval()
    first = find_batch_norms(model)[0]
    values = into_first_norm(model, data.train.inputs)
    mean, var = (each.squeeze(0) for each in moments(values, 0))
    norm = BatchNorm1d(values.shape[1], momentum=momentum).to(dtype)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    order = torch.Generator().manual_seed(seed)
    rows: list[Tensor] = []
    while len(rows) < steps:
        rows += batches(len(values), batch_size, order)
    lost, errors = 0.0, []
    for batch in rows[:steps]:
        before = torch.cat((norm.running_mean, norm.running_var))
        norm(values[batch].to(dtype))
        after = torch.cat((norm.running_mean, norm.running_var))
        lost += (after == before).double().mean().item() / steps
        stored_mean, stored_var = after.to(values).chunk(2)
        off = torch.stack(((stored_mean - mean) / var.sqrt(), (stored_var / var).sqrt() - 1))
        errors.append(off.square().mean(1).sqrt())
    mean_error, std_error = torch.stack(errors).T
    first.running_mean.copy_(norm.running_mean)
    first.running_var.copy_(norm.running_var)
    return StoredStatistics(
        str(dtype).removeprefix("torch."),
        momentum,
        lost,
        mean_error,
        std_error,
        training.accuracy(model, data.test),
    )
