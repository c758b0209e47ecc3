"""Notebook 10: each planted bug is named by its check, and by nothing else before it is changed."""

import ast
import dataclasses
import functools
import linecache
import re
from collections.abc import Callable
from pathlib import Path
from types import CodeType

import nbformat
import pytest

from bnlab import exercises
from bnlab.exercises.mended import digest, mended
from tests.exercise_cells import is_check, is_exercise

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "10-find-the-bug.ipynb"
PLANTED = {
    "10-moody-channels": "statistics-of-last-axis",
    "10-stripes": "affine-on-last-axis",
    "10-quiet-batches": "unbiased-normalising",
    "10-shouting-pixels": "eps-outside-root",
    "10-pascals": "shortcut-variance",
    "10-restless-mean": "momentum-reversed",
    "10-three-quarters": "biased-storing",
    "10-two-loudnesses": "eps-in-running-var",
    "10-four-exams": "updates-in-eval",
    "10-bad-company": "mode-from-grad",
    "10-long-memory": "running-not-detached",
    "10-runaway-bias": "not-through-statistics",
    "10-amnesia": "statistics-not-in-buffers",
    "10-thawed": "eval-undone-by-train",
    "10-folded": "running-mean-not-scaled",
}
CALL = re.compile(
    r'^verdict = mended\((\w+), (\w+), was="(\w+)"\)\nhand_in\("([\w-]+)", verdict\)$'
)
CELLS = [cell for cell in nbformat.read(NOTEBOOK, 4).cells if cell.cell_type == "code"]
ANSWERS = [cell.source for cell in CELLS if is_exercise(cell)]
CHECKS = [CALL.match(c.source) for c in CELLS if is_check(c)]
CASES = {
    key: (source, getattr(exercises, check), name, was)
    for source, match in zip(ANSWERS, CHECKS, strict=True)
    if match
    for check, name, was, key in [match.groups()]
}


def imports() -> CodeType:
    """What the notebook imports, without what it sets."""
    trees = [ast.parse(cell.source) for cell in CELLS]
    kinds = (ast.Import, ast.ImportFrom)
    found = [node for tree in trees for node in tree.body if isinstance(node, kinds)]
    return compile(ast.Module(found, []), "imports", "exec")


def define(source: str, name: str, file: str) -> object:
    """The function or class of a cell, whose source is kept as Jupyter keeps it."""
    names: dict[str, object] = {}
    exec(imports(), names)
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec"), names)
    return names[name]


def test_there_is_a_planted_bug_for_every_check() -> None:
    assert list(CASES) == list(PLANTED)
    assert len(set(PLANTED.values())) == len(PLANTED)


@functools.cache
def judged(key: str) -> exercises.Verdict:
    """What the check says of the code as given."""
    source, check, name, _ = CASES[key]
    return check(define(source, name, f"<judged {key}>"))


def as_check(key: str) -> Callable[[object], exercises.Verdict]:
    """The check, which would say what it said before."""

    @functools.wraps(CASES[key][1])
    def check(_: object) -> exercises.Verdict:
        return dataclasses.replace(judged(key))

    return check


@pytest.mark.parametrize("key", PLANTED)
def test_the_check_names_the_planted_bug(key: str) -> None:
    assert judged(key).mistakes == (PLANTED[key],), judged(key)


@pytest.mark.parametrize("key", PLANTED)
def test_nothing_is_said_of_the_code_as_given(key: str) -> None:
    source, _, name, was = CASES[key]
    assert was == digest(source), f'the cell has changed: was="{digest(source)}"'
    verdict = mended(as_check(key), define(source, name, f"<given {key}>"), was=was)
    assert (verdict.status, verdict.mistakes) == ("not yet", ())
    (planted,) = judged(key).found
    assert planted.says not in str(verdict)
    assert verdict.exercise == judged(key).exercise
    assert [verdict.hint(), verdict.hint()] == [planted.hint, planted.stronger]


@pytest.mark.parametrize("key", PLANTED)
def test_layout_and_comments_are_no_change_and_anything_else_is(key: str) -> None:
    source, _, name, was = CASES[key]
    padded = "\n\n" + source.replace("\n", "  # looked at\n") + "\n"
    assert not mended(as_check(key), define(padded, name, f"<padded {key}>"), was=was).answered
    changed = define(f"{source}\nseen = True\n", name, f"<changed {key}>")
    assert mended(as_check(key), changed, was=was).mistakes == (PLANTED[key],)


def test_code_whose_source_nobody_keeps_is_checked() -> None:
    source, check, name, was = CASES["10-stripes"]
    names: dict[str, object] = {}
    exec(imports(), names)
    exec(compile(source, "<kept by nobody>", "exec"), names)
    assert mended(check, names[name], was=was).mistakes == ("affine-on-last-axis",)
    assert mended(check, None, was=was).status == "not yet"
    assert mended(check, 3, was=was).status == "nonsense"
