"""Training that gives the same on every machine; it lives in `bnlab.training`."""

from bnlab.training.repeatable import DECIMALS, fit_repeatably

__all__ = ["DECIMALS", "fit_repeatably"]
