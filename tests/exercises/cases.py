"""Which checker is tried on which source with which mistakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bnlab import exercises
from tests.exercises import applied, sources

Edits = list[tuple[str, str]]


@dataclass(frozen=True)
class Case:
    """A checker, a right solution, and the edits that make each mistake."""

    check: Callable[[Any], exercises.Verdict]
    source: str
    mistakes: Mapping[str, Edits]

    def judge(self, *slugs: str) -> exercises.Verdict:
        """The verdict on the source with some mistakes in it."""
        edits = [edit for slug in slugs for edit in self.mistakes[slug]]
        return self.check(sources.write(self.source, *edits))


IN_MODES = (
    *sources.MODE_MISTAKES,
    *sources.RUNNING_LAYER_MISTAKES,
    "eps-outside-root",
    "eps-ignored",
    "variance-for-root",
    "unbiased-normalising",
    "shortcut-variance",
    "mean-not-subtracted",
    "input-changed",
)
CASES = {
    "forward": Case(exercises.check_forward, sources.FORWARD, sources.FORWARD_MISTAKES),
    "running update": Case(
        exercises.check_running_update, sources.RUNNING, sources.RUNNING_MISTAKES
    ),
    "backward": Case(exercises.check_backward, sources.BACKWARD, sources.BACKWARD_MISTAKES),
    "modes": Case(
        exercises.check_modes,
        sources.LAYER,
        {slug: sources.LAYER_MISTAKES[slug] for slug in IN_MODES},
    ),
    "batch norm": Case(exercises.check_batch_norm, sources.LAYER, sources.LAYER_MISTAKES),
    "group norm": Case(exercises.check_group_norm, applied.GROUP_NORM, applied.GROUP_NORM_MISTAKES),
    "folding": Case(exercises.check_folding, applied.FOLDING, applied.FOLDING_MISTAKES),
    "freezing": Case(exercises.check_freezing, applied.FREEZING, applied.FREEZING_MISTAKES),
    "saving": Case(exercises.check_saving, applied.SAVING, applied.SAVING_MISTAKES),
}
