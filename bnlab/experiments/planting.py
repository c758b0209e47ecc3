"""Ways to break a healthy network, each in a layer of choice."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, TensorDataset

from bnlab.data import Dataset
from bnlab.examination import Examination, examine
from bnlab.models import deep_mlp
from bnlab.training import fit

LAYERS = ("norm1", "norm2", "norm3")


@dataclass(frozen=True, eq=False)
class Sick:
    """A network with something wrong, or what is saved of it, and how it is used.

    Attributes:
        subject: The network, or its state dict.
        batches: On which it is examined.
        accumulation: Over how many batches its training gathers gradients.
        at: The layer in which the defect is to be found; empty for the network itself.
        batch_size: Of its training.
        samples: So many of all digits are trained on.
    """

    subject: nn.Module | Mapping[str, Tensor]
    batches: Iterable[Any]
    at: str
    accumulation: int = 1
    batch_size: int = 64
    samples: int = 1344

    def examine(self) -> Examination:
        """Examine it, as it is used."""
        if isinstance(self.subject, nn.Module):
            return examine(self.subject, self.batches, accumulation=self.accumulation)
        return examine(self.subject)


def train_healthy(
    data: Dataset, norm: Callable[[int], nn.Module] = nn.BatchNorm1d, *, epochs: int = 5
) -> nn.Sequential:
    """Train a network of three norms in which there is nothing to find, and put it in eval mode.

    Its learning rate falls to 0, so that at the end the running statistics catch up with the
    weights, and the layers before the norms have no bias.

    Args:
        data: Flat pictures.
        norm: Norm factory.
        epochs: How long to train.

    Example:
        >>> from bnlab.data import digits
        >>> model = train_healthy(digits(flat=True), epochs=1)
        >>> [name for name, module in model.named_children() if name.startswith("norm")]
        ['norm1', 'norm2', 'norm3']
    """
    model = deep_mlp(width=64, gain=2**0.5, activation="relu", norm=norm)
    for layer in LAYERS:
        before(model, layer)[1].bias = None
    steps = epochs * (len(data.train.targets) // 64)
    fit(
        model,
        data,
        epochs=epochs,
        schedule=lambda optimizer: CosineAnnealingLR(optimizer, steps),
        progress=False,
    )
    return model.eval()


def plant(model: nn.Sequential, defect: str, layer: str, data: Dataset) -> Sick:
    """Break a copy of a network from `train_healthy`.

    Args:
        model: Healthy; left as it is.
        defect: One of `DEFECTS`.
        layer: One of `LAYERS`; of no account where the defect is the whole network's.
        data: What it was trained on.

    Raises:
        ValueError: There is no such defect or layer.

    Example:
        >>> from bnlab.data import digits
        >>> data = digits(flat=True)
        >>> sick = plant(train_healthy(data, epochs=1), "negative variance", "norm2", data)
        >>> finding = sick.examine().errors[0]
        >>> finding.kind, finding.place
        ('negative-variance', 'norm2, channels 0, 4, 8 and 13 more')
    """
    if defect not in DEFECTS or (DEFECTS[defect].local and layer not in LAYERS):
        raise ValueError(
            f"defect is one of {', '.join(DEFECTS)}, and layer one of {', '.join(LAYERS)}, but "
            f"they are {defect!r} and {layer!r}"
        )
    broken = copy.deepcopy(model)
    with torch.no_grad():
        return DEFECTS[defect].plant(Patient(broken, layer, data))


@dataclass(frozen=True, eq=False)
class Patient:
    """A copy of the healthy network, the layer to break, and what the network was trained on."""

    model: nn.Sequential
    layer: str
    data: Dataset

    @property
    def norm(self) -> Any:
        """The layer to break."""
        return self.model.get_submodule(self.layer)

    @property
    def batches(self) -> list[Tensor]:
        """Four batches of 64."""
        return list(self.data.train.inputs[:256].split(64))

    def let_see(self, batches: list[Tensor], momentum: float | None) -> None:
        """Make the layer's statistics those of these batches, the other layers in eval mode."""
        kept, self.norm.momentum = self.norm.momentum, momentum
        self.norm.reset_running_stats()
        self.norm.train()
        for batch in batches:
            self.model(batch)
        self.norm.eval()
        self.norm.momentum = kept

    def sick(self, at: str | None = None, **use: Any) -> Sick:
        """What has become of it; the defect is in the layer itself if `at` is None."""
        settled: dict[str, Any] = {"subject": self.model, "batches": self.batches}
        return Sick(**(settled | use), at=self.layer if at is None else at)


def _never_updated(patient: Patient) -> Sick:
    patient.norm.reset_running_stats()
    return patient.sick()


def _not_in_the_file(patient: Patient) -> Sick:
    state = patient.model.state_dict()
    return patient.sick(
        subject={k: v for k, v in state.items() if not k.startswith(f"{patient.layer}.running")}
    )


def _of_other_data(patient: Patient) -> Sick:
    patient.let_see([1 - each for each in patient.batches], momentum=None)
    return patient.sick()


def _momentum(momentum: float) -> Callable[[Patient], Sick]:
    def set_it(patient: Patient) -> Sick:
        patient.model.train()
        patient.norm.momentum = momentum
        return patient.sick()

    return set_it


def _few_updates(patient: Patient) -> Sick:
    patient.let_see(patient.batches[:2], momentum=patient.norm.momentum)
    return patient.sick()


def _set(name: str, every: int, value: float) -> Callable[[Patient], Sick]:
    """Set a number of every so many channels."""

    def set_it(patient: Patient) -> Sick:
        getattr(patient.norm, name)[::every] = value
        return patient.sick()

    return set_it


def _dead_gamma(patient: Patient) -> Sick:
    patient.norm.weight[: 3 * patient.norm.num_features // 4] = 0
    return patient.sick()


def _half(patient: Patient) -> Sick:
    patient.model.half()
    for layer in LAYERS:
        if layer != patient.layer:
            patient.model.get_submodule(layer).float()
    return patient.sick()


def _idle_bias(patient: Patient) -> Sick:
    name, linear = before(patient.model, patient.layer)
    linear.bias = nn.Parameter(torch.zeros(linear.out_features))
    return patient.sick(name)


def _frozen_but_moving(patient: Patient) -> Sick:
    patient.model.train()
    patient.norm.requires_grad_(False)
    return patient.sick()


def _train_mode(patient: Patient) -> Sick:
    patient.model.train().requires_grad_(False)
    return patient.sick("")


def _left_behind(training: bool) -> Callable[[Patient], Sick]:
    """Change the mode of the model, but for one layer."""

    def change(patient: Patient) -> Sick:
        patient.model.train(not training)
        patient.norm.train(training)
        return patient.sick()

    return change


def _shared(patient: Patient) -> Sick:
    place = LAYERS.index(patient.layer)
    other = LAYERS[place + 1] if place + 1 < len(LAYERS) else LAYERS[place - 1]
    patient.model.set_submodule(other, patient.norm)
    return patient.sick(min(patient.layer, other))


def _last_batch_of_one(patient: Patient) -> Sick:
    patient.model.train()
    train = TensorDataset(patient.data.train.inputs[:321], patient.data.train.targets[:321])
    return patient.sick(LAYERS[0], batches=DataLoader(train, batch_size=64), samples=321)


def _accumulation(patient: Patient) -> Sick:
    patient.model.train()
    batches = patient.data.train.inputs[:256].split(8)
    return patient.sick("", batches=batches, accumulation=8, batch_size=8)


@dataclass(frozen=True)
class Defect:
    """The kind of finding that it is to give, how it is done, and whether to one layer."""

    kind: str
    plant: Callable[[Patient], Sick]
    local: bool = True


DEFECTS = {
    "statistics never updated": Defect("never-updated", _never_updated),
    "statistics not in the file": Defect("missing-statistics", _not_in_the_file),
    "statistics of other data": Defect("eval-far-from-train", _of_other_data),
    "momentum 0": Defect("momentum-zero", _momentum(0.0)),
    "momentum 1": Defect("momentum-one", _momentum(1.0)),
    "momentum 0.99, as in Keras": Defect("momentum-like-keras", _momentum(0.99)),
    "two updates only": Defect("too-few-updates", _few_updates),
    "NaN in the mean": Defect("not-finite", _set("running_mean", 8, torch.nan)),
    "infinite variance": Defect("not-finite", _set("running_var", 2, torch.inf)),
    "negative variance": Defect("negative-variance", _set("running_var", 4, -0.01)),
    "statistics in float16": Defect("half-precision-statistics", _half),
    "collapsed variance": Defect("collapsed-variance", _set("running_var", 4, 1e-12)),
    "dead gamma": Defect("dead-gamma", _dead_gamma),
    "idle bias": Defect("idle-bias", _idle_bias),
    "gamma frozen, statistics not": Defect("frozen-but-moving", _frozen_but_moving),
    "train mode to answer": Defect("train-mode", _train_mode, local=False),
    "one norm left in train mode": Defect("mixed-modes", _left_behind(training=True)),
    "one norm left in eval mode": Defect("mixed-modes", _left_behind(training=False)),
    "one norm in two places": Defect("shared-norm", _shared),
    "last batch of one": Defect("one-value-per-channel", _last_batch_of_one, local=False),
    "accumulation over 8 batches": Defect("accumulation", _accumulation, local=False),
}
"""What can be planted."""


def before(model: nn.Sequential, layer: str) -> tuple[str, Any]:
    """The linear layer before a norm, and its name."""
    name = layer.replace("norm", "linear")
    return name, model.get_submodule(name)
