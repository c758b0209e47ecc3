"""Keep which exercises were answered, in a small file of the reader's own."""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from datetime import date
from pathlib import Path

from bnlab.exercises.verdict import Verdict

Answers = dict[str, dict[str, object]]


def hand_in(exercise: str, verdict: Verdict) -> Verdict | None:
    """Keep what a checker said, and give it back to be shown.

    An answer is kept in `progress.json` beside the notebook, a file that can be read, moved and
    deleted; the environment variable BNLAB_PROGRESS names another. What is not answered yet is not
    kept, and what was passed once stays passed. Where nbgrader runs the notebook nothing is kept.

    Args:
        exercise: Its name in that file, such as "02-forward-pass".
        verdict: What the checker returned.

    Returns:
        The verdict, as it was; None where nbgrader runs the notebook.

    Raises:
        AssertionError: If nbgrader runs the notebook and the verdict is not "passed": this is how
            it learns that there are no points.

    Warns:
        UserWarning: If the file cannot be read or written; the verdict is given back all the same.

    Example:
        >>> from bnlab.exercises import check_forward, hand_in
        >>> hand_in("02-forward-pass", check_forward(None))
        forward: ○ not yet answered

    Source:
        https://nbgrader.readthedocs.io/en/stable/user_guide/faq.html on NBGRADER_EXECUTION.
    """
    if os.environ.get("NBGRADER_EXECUTION"):
        if not verdict.passed:
            raise AssertionError(str(verdict))
        # Printed, since nbgrader takes what a cell returns for a number of points.
        print(verdict)
        return None
    if verdict.answered:
        try:
            _keep(progress_file(), exercise, verdict)
        except OSError as error:
            remedy = "Make its folder one that can be written, or name another file in"
            _warn(f"{error}. {remedy} the environment variable BNLAB_PROGRESS")
        except ValueError as error:
            _warn(str(error))
    return verdict


def progress_file(folder: Path = Path()) -> Path:
    """Where answers to a folder's notebooks are kept: the file a link leads to, not the link."""
    name = os.environ.get("BNLAB_PROGRESS")
    path = Path(name).expanduser() if name else folder / "progress.json"
    return Path(os.path.realpath(path))


def read_answers(path: Path) -> Answers:
    """Return what is kept, by the name of the exercise; nothing if there is no file.

    Raises:
        OSError: If there is one that cannot be read.
        ValueError: If it holds something else.
    """
    try:
        # As some editors save it, with a mark at its beginning.
        kept = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise _not_ours(path, str(error)) from error
    if not isinstance(kept, dict) or not all(isinstance(each, dict) for each in kept.values()):
        raise _not_ours(path, 'not of the form {"name of an exercise": {"status": ...}, ...}')
    return kept


def _not_ours(path: Path, why: str) -> ValueError:
    return ValueError(
        f"{path} does not hold answers: {why}. Mend it, or give it another name to start anew"
    )


def _warn(why: str) -> None:
    warnings.warn(f"this answer is not kept: {why}", stacklevel=3)


def _keep(path: Path, exercise: str, verdict: Verdict) -> None:
    if _is_passed(read_answers(path), exercise):
        return
    draft = path.with_name(f"{path.name}.part")
    _claim(draft)
    try:
        kept = read_answers(path)
        if not _is_passed(kept, exercise):
            entry = {"status": verdict.status, "mistakes": list(verdict.mistakes)}
            # What else a later version may have noted stays.
            kept[exercise] = {**kept.get(exercise, {}), **entry, "day": date.today().isoformat()}
        draft.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        if path.exists():
            shutil.copymode(path, draft)
        # Whole or not at all, so that a crash leaves the old file.
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _is_passed(kept: Answers, exercise: str) -> bool:
    return kept.get(exercise, {}).get("status") == "passed"


def _claim(draft: Path) -> None:
    """Make the draft, which only one notebook has at a time: another one waits until it is gone."""
    give_up = time.monotonic() + PATIENCE
    while True:
        try:
            return draft.touch(exist_ok=False)
        except FileExistsError:
            if time.monotonic() > give_up:
                draft.unlink(missing_ok=True)
            time.sleep(0.01)


PATIENCE = 2.0
"""Seconds to wait for another notebook; it needs milliseconds, and if longer, it has crashed."""
