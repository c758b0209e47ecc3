"""Show which exercises are answered, in words and in a picture made of words."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal

from bnlab.exercises.answers import Answers, progress_file, read_answers
from bnlab.exercises.catalogue import CATALOGUE
from bnlab.exercises.lessons import Lesson, Task, plain, read_lessons
from bnlab.exercises.use_mistakes import FOLDING, FREEZING, GROUPS, SAVING
from bnlab.exercises.verdict import HEADS, WIDTH

Kind = Literal["passed", "tried", "open"]
SIGNS: Mapping[Kind, str] = {"passed": "✓", "tried": "✗", "open": "○"}
# Okabe and Ito's colours, and a grey: each stands out from white and from black.
LOOKS: Mapping[Kind, str] = {
    "passed": "border-left:8px solid #009E73;background-color:rgba(0,158,115,0.14)",
    "tried": "border-left:8px solid #D55E00;background-color:rgba(213,94,0,0.12)",
    "open": "border:1px dashed #808080;padding-left:17px",
}


@dataclass(frozen=True)
class State:
    """How far an exercise is.

    Attributes:
        kind: "passed", "tried" or "open".
        says: The same in words.
        wrong: What is still to be mended, in sentences; empty if that is not known.
    """

    kind: Kind
    says: str
    wrong: str = ""


@dataclass(frozen=True, repr=False)
class Progress:
    """All exercises of a folder's notebooks, with what became of each.

    Attributes:
        lessons: The notebooks that have exercises.
        states: How far each exercise is, by its key.
        file: Where answers are kept.
        elsewhere: Answers to exercises that are in none of the notebooks.
        problems: What could not be read.
    """

    lessons: tuple[Lesson, ...]
    states: Mapping[str, State]
    file: Path
    elsewhere: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def next(self) -> tuple[Lesson, Task] | None:
        """The first open exercise and where it is; without any, the first that is not right yet."""
        for kind in "open", "tried":
            for lesson in self.lessons:
                for task in lesson.tasks:
                    if self.states[task.key].kind == kind:
                        return lesson, task
        return None

    def count(self, kind: Kind) -> int:
        """Return how many exercises are as far as that."""
        return sum(state.kind == kind for state in self.states.values())

    def __repr__(self) -> str:
        parts = [self._summary]
        if self.states:
            done = round(WIDTH / 2 * self.count("passed") / len(self.states))
            parts.append("█" * done + "░" * (WIDTH // 2 - done))
        for lesson in self.lessons:
            parts += ["", f"{lesson.number} {plain(lesson.title)}".lstrip()]
            for task in lesson.tasks:
                state = self.states[task.key]
                parts.append(f"  {SIGNS[state.kind]} {plain(task.title)} ({state.says})")
                parts += textwrap.wrap(
                    state.wrong, WIDTH, initial_indent="    ", subsequent_indent="    "
                )
        parts.append("")
        if self.next:
            lesson, task = self.next
            parts.append(f"Next: {plain(task.title)}, in {lesson.link}")
        for text in self._remarks:
            parts += textwrap.wrap(text, WIDTH)
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        rows = "".join(map(self._row, self.lessons))
        after = "".join(f'<p style="margin:8px 0 0">{_escape(text)}</p>' for text in self._remarks)
        step = ""
        if self.next:
            lesson, task = self.next
            words = f"{_anchor(task.link, task.title)}, in {lesson.number} {_rich(lesson.title)}"
            step = f'<p style="margin:8px 0 0"><strong>Next:</strong> {words}</p>'
        # Styles stay where they are used: some places drop a style sheet, and none needs a script.
        return (
            '<div role="group" aria-label="Your answers" '
            'style="font-size:16px;line-height:1.4;max-width:960px">'
            f'<p style="margin:0 0 6px"><strong>{_escape(self._summary)}</strong></p>{self._bar}'
            '<table style="border-collapse:collapse;width:100%;margin:10px 0;font-size:16px">'
            f"<tbody>{rows}</tbody></table>{step}{after}</div>"
        )

    def _row(self, lesson: Lesson) -> str:
        tiles = "".join(_tile(task, self.states[task.key]) for task in lesson.tasks)
        passed = sum(self.states[task.key].kind == "passed" for task in lesson.tasks)
        cell = "text-align:left;vertical-align:top;white-space:normal;padding:8px 8px 8px 0"
        return (
            '<tr style="background:transparent;border-top:1px solid #808080">'
            f'<th scope="row" style="{cell};width:26%">'
            f"{_escape(lesson.number)} {_anchor(lesson.link, lesson.title)}<br>"
            f'<span style="font-weight:normal">{passed} of {len(lesson.tasks)} passed</span></th>'
            f'<td style="{cell}"><ul style="display:flex;flex-wrap:wrap;gap:8px;list-style:none;'
            f'margin:0;padding:0">{tiles}</ul></td></tr>'
        )

    @property
    def _bar(self) -> str:
        if not self.states:
            return ""
        share = 100 * self.count("passed") / len(self.states)
        return (
            f'<div role="img" aria-label="{_escape(self._summary)}" '
            'style="height:14px;border:1px solid #808080;border-radius:4px">'
            f'<div style="height:14px;width:{share:.0f}%;background-color:#009E73"></div></div>'
        )

    @property
    def _summary(self) -> str:
        if not self.states:
            return "There is no exercise in these notebooks."
        passed, tried, still = self.count("passed"), self.count("tried"), self.count("open")
        others = f", {tried} not right yet" * bool(tried) + f", {still} open" * bool(still)
        return f"{passed} of {len(self.states)} exercises passed{others}"

    @property
    def _remarks(self) -> Iterator[str]:
        """What there is to say below."""
        if self.elsewhere:
            keys = ", ".join(self.elsewhere)
            yield f"Answers to exercises that are not in these notebooks stay in the file: {keys}."
        for problem in self.problems:
            yield f"! {problem}."
        will = "are" if self.file.exists() else "will be"
        yield (
            f"Your answers {will} kept in {self.file.name}, on this machine and nowhere else. "
            "The file is yours: delete it, and they are forgotten."
        )


def progress(folder: str | PathLike[str] = ".") -> Progress:
    """Hold the exercises of a folder's notebooks against the answers that are kept.

    Nothing is written. What cannot be read, a notebook or the file of answers, is named, and the
    rest is shown all the same.

    Args:
        folder: Where the notebooks are.

    Example:
        >>> import json
        >>> from tempfile import TemporaryDirectory
        >>> heading = {"cell_type": "markdown", "source": "### Write it yourself: the mean"}
        >>> graded = {"nbgrader": {"grade": True, "grade_id": "02-mean"}}
        >>> check = {"cell_type": "code", "source": "hand_in(...)", "metadata": graded}
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "02-means.ipynb")
        ...     size = path.write_text(json.dumps({"cells": [heading, check]}))
        ...     seen = progress(folder)
        >>> lesson, task = seen.next
        >>> task.title, seen.states[task.key].says
        ('The mean', 'open')
    """
    lessons, problems = read_lessons(Path(folder))
    file = progress_file(Path(folder))
    kept: Answers = {}
    try:
        kept = read_answers(file)
    except (OSError, ValueError) as error:
        problems.insert(0, str(error))
    keys = [task.key for lesson in lessons for task in lesson.tasks]
    states = {key: _state(kept.get(key)) for key in keys}
    elsewhere = tuple(sorted(kept.keys() - states.keys()))
    return Progress(tuple(lessons), states, file, elsewhere, tuple(problems))


def _state(entry: Mapping[str, object] | None) -> State:
    if entry is None:
        return State("open", "open")
    status, day, slugs = (entry.get(name) for name in ("status", "day", "mistakes"))
    if status == "passed":
        return State("passed", f"passed {day}" if day else "passed")
    heads = {str(name): head.partition(" ")[2] for name, head in HEADS.items()}
    found = [str(slug) for slug in slugs] if isinstance(slugs, list) else []
    said = " ".join(filter(None, (_sentence(slug, alone=len(found) == 1) for slug in found)))
    return State("tried", heads.get(str(status), str(status)), said)


def _sentence(slug: str, *, alone: bool) -> str:
    """What a mistake is; of one that this version does not know, its name."""
    if slug == "other":
        return "" if alone else "Something else, too."
    known = {m.slug: m.says for m in (*CATALOGUE, *GROUPS, *FOLDING, *FREEZING, *SAVING)}
    return known.get(slug, f"{slug}.")


def _tile(task: Task, state: State) -> str:
    wrong = f"<br>{_escape(state.wrong)}" if state.wrong else ""
    return (
        '<li style="box-sizing:border-box;width:32%;min-width:180px;margin:0;padding:4px 10px;'
        f'{LOOKS[state.kind]}"><strong>{SIGNS[state.kind]}</strong> '
        f"{_anchor(task.link, task.title)}<br>{_escape(state.says)}{wrong}</li>"
    )


def _anchor(link: str, markdown: str) -> str:
    return f'<a href="{_escape(link)}">{_rich(markdown)}</a>'


def _rich(markdown: str) -> str:
    code = re.sub(r"`([^`]+)`", r"<code>\1</code>", _escape(markdown))
    return code.replace("*", "")


def _escape(text: str) -> str:
    return html.escape(text)
