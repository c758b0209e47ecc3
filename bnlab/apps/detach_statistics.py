"""Finished trainings whose gradient takes the batch's statistics for constants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure

from bnlab.apps.controls import Choice, Slider
from bnlab.apps.sweep import Sweep
from bnlab.experiments.detachment import Course
from bnlab.plots.detachment import PANELS, CoursesArtists, draw_courses

PROPER = "none"


@dataclass(frozen=True)
class Courses:
    """The same training with the gradient as it is, and with a wrong one."""

    lr: float
    constant: str
    proper: Course
    wrong: Course


class DetachStatistics(Sweep[Courses]):
    """Loss, biases and weights along trainings with the proper and with a wrong gradient.

    Args:
        runs: one training for each learning rate and each choice of what is constant; the choice
            `"none"` is the one that the others are held against.
        **start: values to start from.
    """

    title = "Train with the statistics taken for constants"
    size = (8.6, 3.7)

    def __init__(self, runs: Mapping[tuple[float, str], Course], **start: float | str) -> None:
        self.runs = runs
        rates = sorted({lr for lr, _ in runs})
        choices = [choice for choice in dict.fromkeys(c for _, c in runs) if choice != PROPER]
        missing = [(lr, c) for lr in rates for c in (PROPER, *choices) if (lr, c) not in runs]
        if missing or not choices:
            raise ValueError(
                f"runs needs {PROPER!r} and one other choice for every learning rate; "
                f"there is none for {missing or rates}"
            )
        self.controls = (
            Slider("lr", "learning rate", rates, rates[len(rates) // 2]),
            Choice("constant", "taken for constant", choices, choices[-1]),
        )
        super().__init__(**start)

    def compute(self, lr: float, constant: str) -> Courses:
        return Courses(lr, constant, self.runs[lr, PROPER], self.runs[lr, constant])

    def draw(self, figure: Figure, result: Courses) -> CoursesArtists:
        limits = []
        for quantity in PANELS:
            values = [value for run in self.runs.values() for value in getattr(run, quantity)]
            margin = 0.04 * (max(values) - min(values))
            limits.append((min(values) - margin, max(values) + margin))
        return draw_courses(list(figure.subplots(1, 3)), result, limits=limits)

    def describe(self, result: Courses) -> str:
        proper, wrong = in_words(result.proper), in_words(result.wrong)
        return (
            f"Learning rate {result.lr:g}. With the whole gradient {proper}. "
            f"With {result.constant} constant {wrong}."
        )


def in_words(course: Course) -> str:
    """Where a training ends."""
    return (
        f"the loss ends at {course.loss[-1]:.3f}, the biases have length {course.bias[-1]:.2f}, "
        f"the weights {course.weight[-1]:.1f}, and {course.accuracy:.1%} of the test digits "
        "are right"
    )
