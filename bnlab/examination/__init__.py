"""Findings about the norms of a model, of a state dict or of a file."""

from bnlab.examination.examine import examine
from bnlab.examination.findings import Examination, Finding

__all__ = ["Examination", "Finding", "examine"]
