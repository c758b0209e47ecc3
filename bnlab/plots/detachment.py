"""Two trainings side by side: loss, and the length of what stands in front of the norms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

PROPER, WRONG = "#0072B2", "#D55E00"
PANELS = {"loss": "Loss", "bias": "Length of the biases", "weight": "Length of the weights"}


class Course(Protocol):
    """Loss and lengths along one training."""

    @property
    def steps(self) -> Sequence[int]: ...
    @property
    def loss(self) -> Sequence[float]: ...
    @property
    def bias(self) -> Sequence[float]: ...
    @property
    def weight(self) -> Sequence[float]: ...


class Courses(Protocol):
    """The same training with the gradient as it is, and with a wrong one."""

    @property
    def proper(self) -> Course: ...
    @property
    def wrong(self) -> Course: ...


@dataclass
class CoursesArtists:
    """Two lines in each panel."""

    proper: list[Line2D]
    wrong: list[Line2D]

    def update(self, result: Courses) -> None:
        """Move the lines to `result`."""
        for course, lines in ((result.proper, self.proper), (result.wrong, self.wrong)):
            for line, quantity in zip(lines, PANELS, strict=True):
                line.set_data(course.steps, getattr(course, quantity))


def draw_courses(
    axes: Sequence[Axes], result: Courses, *, limits: Sequence[tuple[float, float]]
) -> CoursesArtists:
    """Draw loss, bias and weight along both trainings.

    Args:
        axes: one for each of the three.
        result: both trainings.
        limits: of the three vertical axes, wide enough for every result.
    """
    proper, wrong = [], []
    for ax, title, (low, high) in zip(axes, PANELS.values(), limits, strict=True):
        ax.set(title=title, xlabel="step", xlim=(0, max(result.proper.steps)), ylim=(low, high))
        proper += ax.plot([], [], color=PROPER, label="through μ and σ")
        wrong += ax.plot([], [], color=WRONG, linestyle="--", label="taken for constants")
    axes[0].legend(loc="upper right")
    artists = CoursesArtists(proper, wrong)
    artists.update(result)
    return artists
