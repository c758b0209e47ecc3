"""Find the exercises in a folder's notebooks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class Task:
    """One exercise.

    Attributes:
        key: What its answer is kept under.
        title: What is to be done, in Markdown.
        link: Where, as a relative address.
    """

    key: str
    title: str
    link: str


@dataclass(frozen=True)
class Lesson:
    """A notebook with exercises.

    Attributes:
        number: The one that its file's name begins with; or nothing.
        title: Its first heading, in Markdown.
        link: Where it is, as a relative address.
        tasks: Its exercises, from top to bottom.
    """

    number: str
    title: str
    link: str
    tasks: tuple[Task, ...]


def read_lessons(folder: Path) -> tuple[list[Lesson], list[str]]:
    """Read every notebook of a folder.

    Args:
        folder: Where they are; the folders in it are left alone.

    Returns:
        Those with exercises, in the order of their names, and what is wrong with others. An
        exercise that is in two notebooks, since one is a copy, belongs to the shorter name.
    """
    lessons: list[Lesson] = []
    problems: list[str] = []
    seen: set[str] = set()
    for path in sorted(folder.glob("*.ipynb"), key=lambda path: path.stem):
        try:
            notebook = json.loads(path.read_text(encoding="utf-8"))
            title, tasks = _tasks(path, notebook["cells"])
        except (OSError, ValueError, RecursionError) as error:
            problems.append(f"{path.name} cannot be read: {error}")
            continue
        except (AttributeError, KeyError, TypeError):
            problems.append(f"{path.name} cannot be read: it is not a notebook of today's format")
            continue
        new = tuple(task for task in tasks if task.key not in seen)
        seen |= {task.key for task in new}
        if new:
            number = re.match(r"\d*", path.stem)
            lessons.append(Lesson(number[0] if number else "", title, _link(path), new))
    return lessons, problems


def _tasks(path: Path, cells: list[dict[str, Any]]) -> tuple[str, list[Task]]:
    """The notebook's title and the exercises of its cells."""
    title = heading = place = ""
    tasks = []
    for cell in cells:
        source = cell.get("source", "")
        text = source if isinstance(source, str) else "".join(source)
        if cell["cell_type"] == "markdown":
            for heading in _headings(text):
                title, place = title or heading, cell.get("id", "")
        check = cell.get("metadata", {}).get("nbgrader", {})
        if check.get("grade") and not check.get("task"):
            key = str(check["grade_id"])
            tasks.append(Task(key, _aim(heading) or key, _link(path, place)))
    return re.sub(r"^\d+\W+", "", title) or path.stem, tasks


def _headings(text: str) -> Iterator[str]:
    fenced = False
    for line in text.splitlines():
        fenced ^= line.lstrip().startswith(("```", "~~~"))
        found = re.match(r" {0,3}#{1,6}\s+(.*?)\s*#*\s*$", line)
        if found and not fenced and found[1]:
            yield found[1]


def _aim(heading: str) -> str:
    """A heading without what all of them begin with."""
    aim = re.sub(r"^(?:write it yourself|mend it)\s*:\s*", "", heading, flags=re.IGNORECASE)
    return aim[:1].upper() + aim[1:]


def plain(markdown: str) -> str:
    """Return a heading's text without its marks."""
    return re.sub(r"[`*]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown))


def _link(path: Path, cell: str = "") -> str:
    """The address of a notebook, or of a cell in it as JupyterLab and exported pages name it."""
    return quote(path.as_posix()) + (f"#cell-id={quote(cell)}" if cell else "")
