"""Finished trainings whose layers got noisy inputs: how they learnt, and how noisy it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from torch import Tensor

from bnlab.apps.controls import Choice, Slider
from bnlab.apps.sweep import Sweep
from bnlab.plots.noisy_runs import MEASURES, NoisyRunsArtists, draw_noisy_runs
from bnlab.training import Runs

WITHOUT, WITH, NOISY = "without BN", "BN", "BN + noise"


@dataclass(frozen=True)
class Noise:
    """Three kinds of network: accuracy by epoch, (S, E), moves of the means, (S), one unit."""

    kind: str
    strength: float
    accuracy: Mapping[str, Tensor]
    moves: Mapping[str, Mapping[str, Tensor]]
    steps: Sequence[int]
    percentiles: dict[str, Tensor]


class NoisyRuns(Sweep[Noise]):
    """A network without BN, one with it, and one with noise after BN, of any strength.

    Args:
        runs: trainings as `watch_training` returns them, over one axis `arm` of pairs such as
            `("jumps", 2)`; `("without BN", 0)` and `("BN", 0)` among them.
        kinds: of noise, as in those pairs.
        **start: values to start from.

    Raises:
        ValueError: one of the two networks without noise is missing.
    """

    title = "What the noise does to a layer's inputs, and to the learning"
    size = (11.4, 4.6)

    def __init__(
        self, runs: Runs, *, kinds: Sequence[str] = ("jumps", "wanders"), **start: float | str
    ) -> None:
        arms = list(runs.axes["arm"])
        for needed in ((WITHOUT, 0), (WITH, 0)):
            if needed not in arms:
                raise ValueError(f"no run has arm={needed}; there are {arms}")
        self.runs, self.kinds = runs, kinds
        strengths = sorted({strength for kind, strength in arms if kind in kinds} | {0})
        self.controls = (
            Choice("kind", "distribution", list(kinds), kinds[0]),
            Slider("strength", "strength of the noise", strengths, strengths[1]),
        )
        super().__init__(**start)

    def compute(self, kind: str, strength: float) -> Noise:
        noisy = (kind, strength) if strength else (WITH, 0)
        chosen = {
            name: self.runs.where(arm=arm)
            for name, arm in ((WITHOUT, (WITHOUT, 0)), (WITH, (WITH, 0)), (NOISY, noisy))
        }
        rows = {name: chosen[name]["percentiles"][0] for name in (WITHOUT, NOISY)}
        return Noise(
            kind,
            strength,
            accuracy={name: runs["test_accuracy"] for name, runs in chosen.items()},
            moves={m: {n: runs[m] for n, runs in chosen.items()} for m in MEASURES},
            steps=range(len(rows[NOISY])),
            percentiles=rows,
        )

    def draw(self, figure: Figure, result: Noise) -> NoisyRunsArtists:
        arms = [arm for arm in self.runs.axes["arm"] if arm[0] in (WITHOUT, WITH, *self.kinds)]
        shown = [self.runs.where(arm=arm) for arm in arms]
        reach = 1.05 * max(float(runs["percentiles"][0].abs().max()) for runs in shown)
        furthest = 1.05 * max(float(runs[m].max()) for runs in shown for m in MEASURES)
        return draw_noisy_runs(figure, result, reach=reach, furthest=furthest)

    def describe(self, result: Noise) -> str:
        noise = f"BN with noise of strength {result.strength:g} that {result.kind}"
        parts = [
            f"{noise if name == NOISY else name}: {100 * accuracy[:, 0].mean():.0f} % after one "
            f"epoch, {100 * accuracy[:, -1].mean():.0f} % at the end; means move "
            f"{result.moves['shift'][name].mean():.2f} a step, "
            f"{result.moves['travel'][name].mean():.2f} over the training"
            for name, accuracy in result.accuracy.items()
        ]
        return "; ".join(parts) + " (standard deviations)."
