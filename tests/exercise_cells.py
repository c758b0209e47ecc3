"""Which cells of a notebook make an exercise."""

from nbformat import NotebookNode


def is_exercise(cell: NotebookNode) -> bool:
    """Whether a reader writes in it."""
    return "exercise" in cell.metadata.get("tags", [])


def is_check(cell: NotebookNode) -> bool:
    """Whether it says how the reader's answer is, and gives the point for it."""
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))
