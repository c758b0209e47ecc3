"""Findings about the norms of a model, of a state dict or of a file."""

from typing import TYPE_CHECKING, Any

from bnlab.examination.examine import examine

if TYPE_CHECKING:
    from bnlab.examination.findings import Examination, Finding

__all__ = ["Examination", "Finding", "examine"]


def __getattr__(name: str) -> Any:
    # Only when they are asked for: see `examine`.
    if name in ("Examination", "Finding"):
        from bnlab.examination import findings

        return getattr(findings, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
