"""Checkers for exercises: they say which mistake it is, where it shows, and give hints."""

from bnlab.exercises.backward import check_backward
from bnlab.exercises.batch_norm import check_batch_norm
from bnlab.exercises.forward import check_forward
from bnlab.exercises.modes import check_modes
from bnlab.exercises.running import check_running_update
from bnlab.exercises.verdict import Example, Hint, Mistake, Verdict

__all__ = [
    "Example",
    "Hint",
    "Mistake",
    "Verdict",
    "check_backward",
    "check_batch_norm",
    "check_forward",
    "check_modes",
    "check_running_update",
]
