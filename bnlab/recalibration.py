"""Give batch norms the statistics of a whole population, layer after layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from bnlab.borrowing import in_mode, same_random_numbers
from bnlab.distributed.moments import Moments, combine_moments, exact_moments
from bnlab.examination.inputs import input_of
from bnlab.freezing import is_frozen
from bnlab.layers.kinds import BATCH_NORMS, keeps_statistics

Model = TypeVar("Model", bound=nn.Module)
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@torch.no_grad()
def recalibrate(model: Model, batches: Iterable[Any]) -> Model:
    r"""Replace the running statistics of every batch norm by those of all values in all batches.

    .. math::
        \mu = \frac{1}{n} \sum_i x_i \qquad \sigma^2 = \frac{1}{n - 1} \sum_i (x_i - \mu)^2

    over the :math:`n` values of a channel, whichever batch they come in. A norm's input depends on
    the norms before it, so they are taken in the order in which data reach them: each sees what it
    will see in eval mode, the norms before it having their new statistics. So neither the size nor
    the order of the batches matters. It takes as many passes over `batches` as there are norms.

    Everything runs in eval mode without gradients: no dropout, no other statistics moved, and a
    batch may hold a single sample. Afterwards modes and the global random generators (torch's,
    Python's, NumPy's) are as before. The generators also start each pass alike, so that shuffling
    and augmentation by them repeat. Frozen norms (`bnlab.freeze`) and instance norms keep what they
    have, and so does a norm that no batch reaches. A norm called several times takes all its inputs
    together, the later ones computed with its old statistics.

    `momentum` stays. `num_batches_tracked` grows by the number of batches; with `momentum=None`,
    where the next batch in training is weighed by it, it becomes that number.

    Args:
        model: Any module; changed in place and returned. Where anything is raised, it is left as
            it was.
        batches: Inputs, or tuples whose first element is the input, as a loader gives them. An
            iterator that can be read only once is put in a list first.

    Shape:
        - inputs: :math:`(N, *)`, whatever the model takes; :math:`N` may differ

    Raises:
        ValueError: No batch norm has statistics to replace, `batches` is empty, or a norm's input
            holds NaN or infinity, or a single value per channel in all batches.
        TypeError: `model` is not a module, a batch is neither tensor nor tuple.

    Example:
        >>> model = nn.Sequential(nn.BatchNorm1d(1)).eval()
        >>> batches = [torch.tensor([[1.0], [2.0]]), torch.tensor([[6.0]])]
        >>> norm = recalibrate(model, batches)[0]
        >>> norm.running_mean, norm.running_var, norm.num_batches_tracked
        (tensor([3.]), tensor([7.]), tensor(2))

    Population statistics instead of a moving average: Ioffe & Szegedy, "Batch Normalization"
    (2015), algorithm 2, and PreciseBN in Wu & Johnson, "Rethinking 'Batch' in BatchNorm" (2021),
    https://arxiv.org/abs/2105.07576. They take one pass in train mode, in which each norm's input
    was normalised by its batch, as it will not be in eval mode. Batches are joined in float64, by
    `bnlab.distributed.combine_moments`.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"recalibrate needs a torch.nn.Module, got {model!r}: pass the model")
    waiting = {
        layer: name
        for name, layer in model.named_modules()
        if isinstance(layer, BATCH_NORMS) and keeps_statistics(layer)
    }
    frozen = [name or "model" for layer, name in waiting.items() if is_frozen(layer)]
    waiting = {layer: name for layer, name in waiting.items() if not is_frozen(layer)}
    if not waiting:
        raise ValueError(
            "there is no batch norm whose running statistics could be replaced: "
            + (
                f"{', '.join(frozen)}: frozen, bnlab.unfreeze them first"
                if frozen
                else "none keeps any"
            )
        )
    if isinstance(batches, Iterator):
        batches = list(batches)
    before = [
        (held, held.clone())
        for layer in waiting
        for held in (getattr(layer, name) for name in STATISTICS)
        if held is not None
    ]
    try:
        with in_mode(model, training=False):
            reached = True
            while waiting and reached:
                reached = _recalibrate_first(model, batches, waiting)
    except BaseException:
        for held, value in before:
            held.copy_(value)
        raise
    return model


def _recalibrate_first(
    model: nn.Module, batches: Iterable[Any], waiting: dict[nn.Module, str]
) -> bool:
    """Recalibrate the first of the waiting norms that data reach; tell whether there is one."""
    chosen: list[nn.Module] = []
    parts: list[Moments] = []
    number = 0

    def see(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not chosen:
            chosen.append(layer)
        values = args[0] if args else kwargs["input"]
        if layer is chosen[0] and values.dim() > 1 and values.numel() > 0:
            parts.append(exact_moments(values))

    handles = [layer.register_forward_pre_hook(see, with_kwargs=True) for layer in waiting]
    try:
        with same_random_numbers([_device_of(model)]):
            for batch in batches:
                values, known = input_of(batch).to(_device_of(model)), len(parts)
                model(values)
                number += 1
                if not all(each.isfinite().all() for part in parts[known:] for each in part):
                    raise ValueError(_not_finite(waiting[chosen[0]], number, values))
    finally:
        for handle in handles:
            handle.remove()
    if number == 0:
        raise ValueError("batches is empty, or empty when read again: pass a list of batches")
    if chosen:
        _store(chosen[0], waiting.pop(chosen[0]), parts, number)
    return bool(chosen)


def _store(layer: Any, name: str, parts: list[Moments], batches: int) -> None:
    n = int(sum(part.size for part in parts))
    if n < 2:
        raise ValueError(
            f"{name or 'model'}: {n} value per channel in all batches has no variance: "
            "pass more samples"
        )
    _, mean, var = combine_moments(*(torch.stack(each) for each in zip(*parts, strict=True)))
    layer.running_mean.copy_(mean)
    layer.running_var.copy_(var * (n / (n - 1)))
    if not (layer.running_mean.isfinite().all() and layer.running_var.isfinite().all()):
        raise ValueError(
            f"{name or 'model'}: statistics beyond the range of {layer.running_var.dtype}: "
            "keep the norm in float32"
        )
    if layer.num_batches_tracked is not None:
        if layer.momentum is None:
            layer.num_batches_tracked.zero_()
        layer.num_batches_tracked.add_(batches)


def _not_finite(name: str, number: int, values: Tensor) -> str:
    if not values.isfinite().all():
        return f"batch {number} holds NaN or infinity: leave it out or mend it"
    return (
        f"batch {number} is finite, but what reaches {name or 'the model'} holds NaN or infinity: "
        "look at the weights of the layers before it, or at their running statistics if frozen"
    )


def _device_of(model: nn.Module) -> torch.device:
    return next(chain(model.parameters(), model.buffers())).device
