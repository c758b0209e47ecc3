"""Keep which exercises were answered, in a small file of the reader's own."""

from __future__ import annotations

import json
import os
import warnings
from datetime import date
from pathlib import Path

from bnlab.exercises.verdict import Verdict

Kept = dict[str, dict[str, object]]


def hand_in(exercise: str, verdict: Verdict) -> Verdict:
    """Keep what a checker said, and give it back to be shown.

    An answer is kept in `progress.json` beside the notebook, a file that can be read, moved and
    deleted; the environment variable BNLAB_PROGRESS names another. What is not answered yet is not
    kept, and what was passed once stays passed. Where nbgrader runs the notebook nothing is kept.

    Args:
        exercise: Its name in that file, such as "02-forward-pass".
        verdict: What the checker returned.

    Returns:
        The verdict, as it was.

    Raises:
        AssertionError: If nbgrader runs the notebook and the verdict is not "passed": this is how
            it learns that there are no points.

    Warns:
        UserWarning: If the file cannot be read or written; the verdict is given back all the same.

    Source:
        https://nbgrader.readthedocs.io/en/stable/user_guide/faq.html on NBGRADER_EXECUTION.
    """
    if os.environ.get("NBGRADER_EXECUTION"):
        if not verdict.passed:
            raise AssertionError(str(verdict))
    elif verdict.answered:
        path = progress_file()
        try:
            _keep(path, exercise, verdict)
        except (OSError, ValueError) as error:
            warnings.warn(
                f"this answer is not kept in {path}: {error}. Mend or delete that file, or name "
                "another in the environment variable BNLAB_PROGRESS",
                stacklevel=2,
            )
    return verdict


def progress_file() -> Path:
    """Where answers are kept."""
    return Path(os.environ.get("BNLAB_PROGRESS") or "progress.json").expanduser()


def read_progress(path: Path) -> Kept:
    """Return what is kept, by the name of the exercise; nothing if there is no file.

    Raises:
        ValueError: If the file holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    kept = json.loads(text)
    if not isinstance(kept, dict) or not all(isinstance(each, dict) for each in kept.values()):
        raise ValueError('it should hold {"name of an exercise": {"status": ...}, ...}')
    return kept


def _keep(path: Path, exercise: str, verdict: Verdict) -> None:
    kept = read_progress(path)
    if kept.get(exercise, {}).get("status") == "passed":
        return
    entry = {"status": verdict.status, "mistakes": list(verdict.mistakes)}
    kept[exercise] = {**entry, "day": date.today().isoformat()}
    # Whole or not at all, so that a crash leaves the old file.
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        draft.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
