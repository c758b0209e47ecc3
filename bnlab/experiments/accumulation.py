"""Gradients of micro-batches added up, beside the gradient of one large batch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bnlab import layers
from bnlab.data import Dataset, Split
from bnlab.experiments.running_spread import Running, standardised_inputs, watch_running
from bnlab.models.ghost import in_ghost_batches
from bnlab.models.small import Norm, mlp
from bnlab.training.repeatable import exactly, fit_repeatably

Gradients = dict[str, Tensor]

FACTORIES: dict[str, Norm | None] = {
    "batch": layers.BatchNorm1d,
    "group": partial(layers.GroupNorm, 8),
    "none": None,
}
NORMS = ("batch", "ghost batch", "group", "none")


@dataclass(frozen=True, eq=False)
class Accumulation:
    """How far a sum of micro-batches' gradients is from the gradient of their union.

    Attributes:
        norm: Of the network, one of `NORMS`.
        micro: Samples in a micro-batch.
        count: Micro-batches in a step.
        angle: Between the two gradients of each weight matrix in degrees, (draws, matrices).
        error: Length of their difference as a share of the large batch's gradient's, likewise.
        matrices: The weight matrices' names.
        running: What becomes of the running mean; None where there is none.
    """

    norm: str
    micro: int
    count: int
    angle: Tensor
    error: Tensor
    matrices: tuple[str, ...]
    running: Running | None


def gradient(
    model: nn.Module, inputs: Tensor, targets: Tensor, *, micro: int | None = None
) -> Gradients:
    r"""Return the gradient of the mean cross-entropy, of all samples at once or accumulated.

    .. math::
        g = \frac1k \sum_{j=1}^k \nabla L_j

    Args:
        model: In the mode it has; in train mode its running statistics move. What its parameters
            hold in `grad` stays.
        inputs: The large batch.
        targets: The class of each.
        micro: Samples in each of the :math:`k` micro-batches; None is one large batch.

    Shape:
        - inputs: :math:`(N, *)`, :math:`N` a multiple of `micro`
        - targets: :math:`(N)`, int64

    Raises:
        ValueError: The samples do not divide into micro-batches.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> inputs, targets = torch.randn(6, 2), torch.tensor([0, 1, 0, 1, 1, 0])
        >>> large, added = (gradient(model, inputs, targets, micro=n) for n in (None, 3))
        >>> all(torch.allclose(large[name], added[name], atol=1e-6) for name in large)
        True
    """
    size = len(targets) if micro is None else micro
    if size < 1 or len(targets) % size:
        raise ValueError(
            f"{len(targets)} samples do not divide into micro-batches of {size}: their mean losses "
            "would not have equal weight"
        )
    parameters = dict(model.named_parameters())
    added: Gradients = {}
    for some, classes in zip(inputs.split(size), targets.split(size), strict=True):
        loss = cross_entropy(model(some), classes) * (size / len(targets))
        parts = torch.autograd.grad(loss, list(parameters.values()))
        for name, part in zip(parameters, parts, strict=True):
            added[name] = added[name] + part if name in added else part
    return added


def angle(one: Tensor, other: Tensor) -> float:
    """Return the angle between two tensors in degrees; exact for small angles too.

    Args:
        one: Any tensor but zero.
        other: Another of the same shape.

    Shape:
        - one, other: any, the same

    Example:
        >>> round(angle(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])), 3)
        45.0

    Kahan, "How Futile are Mindless Assessments of Roundoff in Floating-Point Computation?" (2006),
    section 12: https://people.eecs.berkeley.edu/~wkahan/Mindless.pdf
    """
    u, v = one.flatten() / one.norm(), other.flatten() / other.norm()
    half = torch.atan2((u - v).norm(), (u + v).norm())
    return 2 * half.rad2deg().item()


def train_networks(data: Dataset, *, epochs: int = 1) -> dict[str, nn.Module]:
    """Train the tutorials' perceptron with each norm of `FACTORIES`, the same on any machine.

    Args:
        data: Flat samples.
        epochs: Passes over them.

    Shape:
        - inputs: :math:`(N, features)`
    """
    features = data.train.inputs.shape[1]

    def train(norm: Norm | None) -> nn.Module:
        build = partial(mlp, features, norm)
        return fit_repeatably(build, data, epochs=epochs, lr=0.05, progress=False)[0]

    return {name: train(norm) for name, norm in FACTORIES.items()}


def compare_accumulation(
    networks: Mapping[str, nn.Module],
    data: Dataset,
    micros: Sequence[int],
    counts: Sequence[int],
    *,
    draws: int = 3,
) -> dict[tuple[str, int, int], Accumulation]:
    """Accumulate gradients over micro-batches in all ways, each beside the large batch's.

    A 'ghost batch' network is the one with batch norm, its large batch normalised in groups as
    large as the micro-batches.

    Args:
        networks: As `train_networks` makes them; left as they are.
        data: Its training split is drawn from, in float64.
        micros: Samples in a micro-batch.
        counts: Micro-batches in a step.
        draws: How many large batches are drawn for each pair.

    Returns:
        The results, by norm, micro-batch size and number of micro-batches.

    Raises:
        ValueError: The training split is smaller than the largest batch.
    """
    split, most = exactly(data).train, max(counts)
    if max(micros) * most > len(split.targets):
        raise ValueError(
            f"{most} micro-batches of {max(micros)} are more than the {len(split.targets)} "
            "training samples"
        )
    generators = [torch.Generator().manual_seed(seed) for seed in range(draws)]
    orders = [torch.randperm(len(split.targets), generator=each) for each in generators]
    values = standardised_inputs(networks["batch"], split.inputs)[:, ::8]
    results = {}
    for norm, trained in networks.items():
        network = copy.deepcopy(trained).train()
        for micro in micros:
            drawn = [order[: micro * most].split(micro) for order in orders]
            parts = [[_gradient(network, split, rows) for rows in each] for each in drawn]
            wholes = {norm: network}
            if norm == "batch":
                wholes["ghost batch"] = in_ghost_batches(network, micro)
            for count in counts:
                running = watch_running(values, micro, count) if norm == "batch" else None
                for name, whole in wholes.items():
                    rows = [
                        _compare(some[:count], _gradient(whole, split, torch.cat(each[:count])))
                        for some, each in zip(parts, drawn, strict=True)
                    ]
                    angles, errors = torch.tensor(rows, dtype=torch.float64).unbind(-1)
                    results[name, micro, count] = Accumulation(
                        name, micro, count, angles, errors, _matrices(network), running
                    )
    return results


def _gradient(model: nn.Module, split: Split, rows: Tensor) -> list[Tensor]:
    """Of the weight matrices."""
    found = gradient(model, split.inputs[rows], split.targets[rows])
    return [found[name] for name in _matrices(model)]


def _compare(parts: Sequence[list[Tensor]], large: list[Tensor]) -> list[tuple[float, float]]:
    """Angle and relative error of each matrix."""
    added = [torch.stack(part).mean(0) for part in zip(*parts, strict=True)]
    pairs = list(zip(added, large, strict=True))
    return [(angle(one, all_), ((one - all_).norm() / all_.norm()).item()) for one, all_ in pairs]


def _matrices(model: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, weight in model.named_parameters() if weight.dim() > 1)
