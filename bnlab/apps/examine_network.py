"""Break a healthy network, read what is found, and see what it costs."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from bnlab.apps.controls import Choice, Slider
from bnlab.apps.sweep import Sweep
from bnlab.experiments.planted_defects import Case, Cases
from bnlab.plots.examination import ExaminedArtists, draw_examined, say


class ExamineNetwork(Sweep[Case]):
    """A network with a defect in a layer: the findings beside the accuracy that is left.

    Args:
        cases: of `experiments.planted_defects.planted_defects`, every defect in every layer.
        **start: values to start from.
    """

    title = "Break a healthy network, and examine it"
    size = (10.4, 5.2)

    def __init__(self, cases: Cases, **start: str) -> None:
        self.cases = {(case.defect, case.layer): case for case in cases.cases}
        self.healthy = cases.healthy
        defects = list(dict.fromkeys(defect for defect, _ in self.cases))
        self.norms = list(dict.fromkeys(layer for _, layer in self.cases if layer))
        middle = self.norms[len(self.norms) // 2]
        self.controls = (
            Slider("defect", "defect", [self.healthy.defect, *defects], defects[0]),
            Choice("layer", "planted in", self.norms, middle),
        )
        super().__init__(**start)

    def compute(self, defect: str, layer: str) -> Case:
        whole = self.cases.get((defect, ""), self.healthy)
        return self.cases.get((defect, layer), whole)

    def draw(self, figure: Figure, result: Case) -> ExaminedArtists:
        grid = figure.add_gridspec(2, 2, height_ratios=(1, 2.6), width_ratios=(1, 1.35))
        places = grid[0, 0], grid[1, 0], grid[:, 1]
        chain, plane, page = (figure.add_subplot(place) for place in places)
        return draw_examined((chain, plane, page), result, self.healthy, self.norms)

    def describe(self, result: Case) -> str:
        shares = ", ".join(
            f"{'not possible' if math.isnan(share) else say(share)} {when}"
            for share, when in (
                (result.answers, "in eval mode"),
                (result.small, "as it stands on batches of 8"),
                (result.later, "in eval mode an epoch later"),
            )
        )
        if result is self.healthy:
            return f"The healthy network: nothing found. It reads {shares}."
        found = result.found
        what = "not found" if found is None else f"{found.severity} {found.kind} in {found.place}"
        place = result.layer or "the whole network"
        defect = f"{result.defect[0].upper()}{result.defect[1:]}"
        return f"{defect}, planted in {place}: {what}. It reads {shares}."
