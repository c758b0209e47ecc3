"""A trained network in another domain: which statistics should its batch norms answer with?"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from bnlab.conversion import convert
from bnlab.data import Dataset
from bnlab.experiments.running_spread import into_first_norm
from bnlab.functional import moments
from bnlab.models.partial import find_batch_norms
from bnlab.recalibration import recalibrate

SHIFTS = ("fainter ink", "grey paper", "noise", "inverted")
STATISTICS = ("frozen", "live", "recalibrated")
BATCHES = {"45 mixed digits": 45, "3 mixed digits": 3, "one class at a time": 0}
"""How many are answered at once, where the statistics are live; 0 is all of a class."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network said about every sample.

    Attributes:
        logits: One row a sample, (N, classes).
        accuracy: Share of samples whose highest logit is the right class's.
    """

    logits: Tensor
    accuracy: float


@dataclass(frozen=True, eq=False)
class Channels:
    """Each channel's statistics, told by the running ones of training.

    Attributes:
        mean: How far off the mean is, in running standard deviations, (C).
        std: The standard deviation as a multiple of the running one, (C).
    """

    mean: Tensor
    std: Tensor


@dataclass(frozen=True, eq=False)
class Shifted:
    """A network's answers in one domain.

    Attributes:
        kind: How the domain differs from that of training, one of `SHIFTS`.
        strength: How much, from 0 to 1.
        batches: What was answered at once, of `BATCHES`.
        answers: With each of `STATISTICS`.
        domain: What reaches the first norm, from all test samples.
        batch: The same, from the first batch only.
    """

    kind: str
    strength: float
    batches: str
    answers: dict[str, Answers]
    domain: Channels
    batch: Channels


def shift(inputs: Tensor, kind: str, strength: float, *, seed: int = 0) -> Tensor:
    r"""Take pictures, ink 1 on paper 0, to another domain; all pixels stay between 0 and 1.

    .. math::
        (1 - 0.9 s)\, x, \qquad (1 - 0.9 s)\, x + 0.9 s, \qquad
        \operatorname{clamp}(x + s\, \varepsilon), \qquad (1 - s)\, x + s\, (1 - x)

    Args:
        inputs: The pictures.
        kind: One of `SHIFTS`, in the order of the formulas.
        strength: :math:`s`, from 0 (nothing) to 1.
        seed: Of the Gaussian noise :math:`\varepsilon`.

    Shape:
        - inputs and output: any, the same

    Raises:
        ValueError: There is no such shift, or no such strength.

    Example:
        >>> shift(torch.tensor([0.0, 1.0]), "grey paper", 0.5)
        tensor([0.4500, 1.0000])
    """
    if kind not in SHIFTS or not 0 <= strength <= 1:
        raise ValueError(
            f"kind is one of {SHIFTS} and strength from 0 to 1, but here {kind!r} and {strength}"
        )
    if kind == "noise":
        noise = torch.randn(inputs.shape, generator=torch.Generator().manual_seed(seed))
        return (inputs + strength * noise.to(inputs)).clamp(0, 1)
    if kind == "inverted":
        return (1 - strength) * inputs + strength * (1 - inputs)
    faint = (1 - 0.9 * strength) * inputs
    return faint + 0.9 * strength if kind == "grey paper" else faint


def answer_shifted(
    model: nn.Module,
    data: Dataset,
    strengths: Sequence[float],
    *,
    kinds: Sequence[str] = SHIFTS,
    batches: Sequence[str] = tuple(BATCHES),
) -> dict[tuple[str, float, str], Shifted]:
    """Ask a trained network about shifted test samples, with three kinds of statistics.

    'frozen' are the running statistics of training, eval mode. 'live' are the batch's own, train
    mode, and depend on what is answered at once. 'recalibrated' are measured anew on the training
    inputs, shifted alike; no label is used.

    Args:
        model: With batch norms; left as it is.
        data: Its test split is asked, its training split recalibrates.
        strengths: Of the shifts.
        kinds: Some of `SHIFTS`.
        batches: Some of `BATCHES`.

    Returns:
        The results, by kind, strength and batches.

    Example:
        >>> from bnlab import data, models
        >>> model = models.mlp(64, nn.BatchNorm1d)
        >>> digits = data.digits(flat=True)
        >>> results = answer_shifted(model, digits, [0.0, 1.0], kinds=["noise"])
        >>> list(results["noise", 1.0, "3 mixed digits"].answers)
        ['frozen', 'live', 'recalibrated']

    Li et al., "Revisiting Batch Normalization For Practical Domain Adaptation" (2016):
    https://arxiv.org/abs/1603.04779; Schneider et al., "Improving Robustness Against Common
    Corruptions by Covariate Shift Adaptation" (2020): https://arxiv.org/abs/2006.16971
    """
    frozen = copy.deepcopy(model).eval()
    # The same arithmetic in torch's layers: quicker on thousands of tiny batches.
    live = convert(copy.deepcopy(model), to="torch").train()
    deals = {name: _deal(data.test.targets, BATCHES[name]) for name in batches}
    results = {}
    for kind, strength in product(kinds, strengths):
        inputs = shift(data.test.inputs, kind, strength)
        # Other noise than the test digits get.
        seen = shift(data.train.inputs, kind, strength, seed=1)
        anew = recalibrate(copy.deepcopy(frozen), [seen]).eval()
        arriving = into_first_norm(frozen, inputs)
        same = {
            "frozen": _ask(frozen, inputs, data.test.targets),
            "recalibrated": _ask(anew, inputs, data.test.targets),
        }
        for name, deal in deals.items():
            found = same | {"live": _ask(live, inputs, data.test.targets, deal)}
            results[kind, strength, name] = Shifted(
                kind,
                strength,
                name,
                {statistics: found[statistics] for statistics in STATISTICS},
                _tell(frozen, arriving),
                _tell(frozen, arriving[deal[0]]),
            )
    return results


def _deal(targets: Tensor, size: int) -> list[Tensor]:
    """The rows of each batch."""
    if size:
        return list(torch.arange(len(targets)).split(size))
    return [(targets == each).nonzero().flatten() for each in targets.unique()]


@torch.no_grad()
def _ask(
    model: nn.Module, inputs: Tensor, targets: Tensor, deal: Sequence[Tensor] | None = None
) -> Answers:
    if deal is None:
        logits = model(inputs)
    else:
        logits = torch.cat([model(inputs[rows]) for rows in deal])[torch.cat(list(deal)).argsort()]
    return Answers(logits, (logits.argmax(1) == targets).double().mean().item())


def _tell(model: nn.Module, arriving: Tensor) -> Channels:
    norm = find_batch_norms(model)[0]
    mean, var = (each.flatten() for each in moments(arriving, [0]))
    spread = norm.running_var.sqrt()
    return Channels((mean - norm.running_mean) / spread, var.sqrt() / spread)
