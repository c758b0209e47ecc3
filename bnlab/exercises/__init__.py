"""Checkers for exercises: they say which mistake it is, where it shows, and give hints."""

from bnlab.exercises.answers import hand_in
from bnlab.exercises.backward import check_backward
from bnlab.exercises.batch_norm import check_batch_norm
from bnlab.exercises.folding import check_folding
from bnlab.exercises.forward import check_forward
from bnlab.exercises.freezing import check_freezing
from bnlab.exercises.group_norm import check_group_norm
from bnlab.exercises.mended import mended
from bnlab.exercises.modes import check_modes
from bnlab.exercises.overview import Progress, progress
from bnlab.exercises.running import check_running_update
from bnlab.exercises.saving import check_saving
from bnlab.exercises.verdict import Example, Hint, Mistake, Verdict

__all__ = [
    "Example",
    "Hint",
    "Mistake",
    "Progress",
    "Verdict",
    "check_backward",
    "check_batch_norm",
    "check_folding",
    "check_forward",
    "check_freezing",
    "check_group_norm",
    "check_modes",
    "check_running_update",
    "check_saving",
    "hand_in",
    "mended",
    "progress",
]
