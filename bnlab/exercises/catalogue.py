"""All that is known to go wrong in batch normalisation."""

from __future__ import annotations

from bnlab.exercises.arithmetic_mistakes import ARITHMETIC, GRADIENTS
from bnlab.exercises.state_mistakes import MODES, RUNNING, STATE

CATALOGUE = (*ARITHMETIC, *RUNNING, *MODES, *GRADIENTS, *STATE)
