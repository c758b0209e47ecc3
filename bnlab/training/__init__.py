"""Train one network, or the same experiment over settings and seeds, and keep what happened."""

from bnlab.training.history import History
from bnlab.training.loop import accuracy, fit
from bnlab.training.plan import Training
from bnlab.training.repeatable import fit_repeatably
from bnlab.training.runs import Runs
from bnlab.training.sweeps import sweep

__all__ = ["History", "Runs", "Training", "accuracy", "fit", "fit_repeatably", "sweep"]
