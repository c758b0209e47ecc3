"""Turn back the clock of a training: what did each layer put out at that step?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Choice, Slider
from bnlab.apps.sweep import Sweep
from bnlab.plots.activations import ActivationArtists, draw_activations
from bnlab.recording import ChannelStatistics, Recording


@dataclass(frozen=True)
class Activations:
    """Histogram and spread over the batch of each layer's outputs at one step of one run."""

    run: str
    step: int
    counts: dict[str, Tensor]
    edges: dict[str, Tensor]
    spread: dict[str, float]


class WatchActivations(Sweep[Activations]):
    """Histograms of the outputs of every recorded layer, at about 20 steps of the training.

    Args:
        runs: recordings with histograms (`record(..., bins=...)`), taken at the same steps.
        low: left end of the scale.
        high: right end.
        **start: values to start from.
    """

    title = "Watch the outputs of every layer, step by step"
    size = (8.6, 3.2)

    def __init__(
        self,
        runs: Mapping[str, Recording],
        *,
        low: float = 0.0,
        high: float = 1.0,
        **start: int | str,
    ) -> None:
        self._scale = (low, high)
        self._calls: dict[str, dict[int, dict[str, ChannelStatistics]]] = {}
        for run, recording in runs.items():
            by_step: dict[int, dict[str, ChannelStatistics]] = {}
            for name, calls in recording.layers.items():
                for call in calls:
                    if call.output is None or call.output.histogram is None:
                        raise ValueError(
                            f"{run}: {name} has no histogram of its outputs; record(..., bins=40)"
                        )
                    by_step.setdefault(call.step, {})[name] = call.output
            self._calls[run] = by_step
        shared = set.intersection(*(set(by_step) for by_step in self._calls.values()))
        if not shared:
            raise ValueError("the runs share no recorded step: record them with the same `every`")
        recorded = sorted(shared)
        # Much happens early, so the offered steps lie closer there.
        places = {round((len(recorded) - 1) * (i / 19) ** 2) for i in range(20)}
        steps = [recorded[place] for place in sorted(places)]
        self.controls = (
            Slider("step", "training step", steps, steps[0]),
            Choice("run", "network", list(runs), next(iter(runs))),
        )
        super().__init__(**start)

    def compute(self, step: int, run: str) -> Activations:
        layers = self._calls[run][step]
        counts, edges, spread = {}, {}, {}
        for name, seen in layers.items():
            assert seen.histogram is not None
            assert seen.edges is not None
            counts[name], edges[name] = seen.histogram.sum(dim=1), seen.edges
            spread[name] = seen.std.mean().item()
        return Activations(run, step, counts, edges, spread)

    def draw(self, figure: Figure, result: Activations) -> ActivationArtists:
        axes = figure.subplots(1, len(result.counts), sharey=True, squeeze=False)[0]
        return draw_activations(axes, result, low=self._scale[0], high=self._scale[1])

    def describe(self, result: Activations) -> str:
        spreads = ", ".join(f"{value:.3f}" for value in result.spread.values())
        return f"Step {result.step}, {result.run}: spread over the batch {spreads}, layer by layer."
