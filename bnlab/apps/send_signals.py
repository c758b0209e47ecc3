"""How deep, with which weights, through which activation: does anything arrive?"""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor, nn

from bnlab import data, models
from bnlab.apps.controls import Choice, Slider
from bnlab.apps.live import Live
from bnlab.data import Split
from bnlab.experiments.propagation import EXPLODED, VANISHED, fate, propagate
from bnlab.plots.signals import SignalArtists, draw_signals

DEEPEST = 30
GAINS = [0.25, 0.5, 0.75, 1.0, 1.2, 1.41, 1.6, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0]
ACTIVATIONS = ("sigmoid", "tanh", "relu")
NORMS = {"none": None, "batch norm": nn.BatchNorm1d}


@dataclass(frozen=True)
class Sent:
    """Spread and gradient at each layer, with the setting they come from."""

    spread: Tensor
    gradient: Tensor
    setting: str


class SendSignals(Live[Sent]):
    """64 digits sent through a deep network and their gradient sent back.

    Args:
        batch: inputs of 64 numbers, with their classes; None is 64 digits.
        **start: values to start from.
    """

    title = "Send 64 digits through a deep network, and their gradient back"
    size = (8.6, 3.9)
    controls = (
        Slider("depth", "depth", list(range(1, DEEPEST + 1)), 30, unit="layers"),
        Slider("gain", "gain of the weights", GAINS, 1.0),
        Choice("activation", "activation", ACTIVATIONS, "sigmoid"),
        Choice("norm", "normalisation", list(NORMS), "none"),
    )

    def __init__(self, batch: Split | None = None, **start: float | str) -> None:
        if batch is None:
            train = data.digits(flat=True).train
            batch = Split(train.inputs[:64], train.targets[:64])
        self.batch = batch
        # Drawing weights takes longer than using them, so every setting is cut from these six.
        self._deepest = {
            (activation, name): models.deep_mlp(
                64, width=64, depth=DEEPEST, activation=activation, norm=norm
            )
            for activation in ACTIVATIONS
            for name, norm in NORMS.items()
        }
        self._weights = {
            key: [m.weight.detach().clone() for m in model.modules() if isinstance(m, nn.Linear)]
            for key, model in self._deepest.items()
        }
        super().__init__(**start)

    def network(self, depth: int, gain: float, activation: str, norm: str) -> nn.Sequential:
        """The first `depth` layers and the output, their weights drawn with `gain`."""
        *hidden, output = self._deepest[activation, norm]
        model = nn.Sequential(*hidden[: depth * len(hidden) // DEEPEST], output)
        linears = [module for module in model if isinstance(module, nn.Linear)]
        weights = self._weights[activation, norm]
        for linear, weight in zip(linears, [*weights[:depth], weights[-1]], strict=True):
            linear.weight.data = gain * weight
        return model

    def compute(self, depth: int, gain: float, activation: str, norm: str) -> Sent:
        model = self.network(depth, gain, activation, norm)
        signals = propagate(model, self.batch, (nn.Sigmoid, nn.Tanh, nn.ReLU))
        name = {"sigmoid": "sigmoid", "tanh": "tanh", "relu": "ReLU"}[activation]
        layers = f"{depth} {name} layers" if depth > 1 else f"1 {name} layer"
        setting = f"{layers}, gain {gain:g}, {'no normalisation' if norm == 'none' else norm}"
        return Sent(signals.spread, signals.gradient, setting)

    def draw(self, figure: Figure, result: Sent) -> SignalArtists:
        left, right = figure.subplots(1, 2, sharey=True)
        return draw_signals(
            (left, right), result, vanished=VANISHED, exploded=EXPLODED, deepest=DEEPEST
        )

    def describe(self, result: Sent) -> str:
        last, first = result.spread[-1].item(), result.gradient[0].item()
        return (
            f"{result.setting}. Spread over the batch in the last layer: {last:.0e}, {fate(last)}. "
            f"Norm of the gradient at the first layer: {first:.0e}, {fate(first)}."
        )
