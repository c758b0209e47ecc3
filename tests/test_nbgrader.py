"""Exercises are handed out and graded with nbgrader, by the commands that the README gives.

Ada has put every solution in place: each has to get its point. Bob has handed in one notebook, with
one mistake and else unanswered. To grade all notebooks whole takes minutes, so it is done with one;
of the others only those cells are handed in that exercises need.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_core.paths import jupyter_path
from jupyterlab_server.config import get_page_config
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from traitlets.config import PyFileConfigLoader

from bnlab.exercises.catalogue import CATALOGUE
from tests.exercise_cells import is_check, is_exercise

ROOT = Path(__file__).parent.parent
NOTEBOOKS, CONFIG = ROOT / "notebooks", ROOT / "config"
WHOLE = "02-build-batch-norm"
BOBS, UNANSWERED, MISTAKEN = "04-train-versus-eval", "04-modes", "04-running-update"
SLIP, SLIPPED = "momentum-reversed", """\
def updated_statistics(running_mean, running_var, x, momentum):
    cells = x.detach().movedim(1, 0).flatten(1)
    new_mean = momentum * running_mean + (1 - momentum) * cells.mean(1)
    return new_mean, momentum * running_var + (1 - momentum) * cells.var(1)
"""  # fmt: skip


def read(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)


def needed(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells that exercises need: what is imported, the answers, and the checks."""
    first, *others = (cell for cell in notebook.cells if cell.cell_type == "code")
    return [first, *(cell for cell in others if is_exercise(cell) or "hand_in" in cell.source)]


def answers(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """The name of each exercise, and the cell in which it is answered."""
    for cell in notebook.cells:
        if is_exercise(cell):
            answer = cell
        elif is_check(cell):
            yield cell.metadata.nbgrader.grade_id, answer


LESSONS = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if any(answers(read(path)))]
PLACES = {key: path.stem for path in LESSONS for key, _ in answers(read(path))}
SOLUTIONS = {
    cell.metadata.solution_of: cell.source
    for cell in read(NOTEBOOKS / "solutions" / "solutions.ipynb").cells
    if "solution_of" in cell.metadata
}


class Course:
    """A teacher's folder with one assignment, handed in by Ada and Bob and graded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in LESSONS:
            self.write(read(path), "source", path.stem)
        self.nbgrader("generate_assignment")
        for path in LESSONS:
            self.submit("ada", path.stem, SOLUTIONS)
        self.submit("bob", BOBS, {MISTAKEN: SLIPPED})
        self.nbgrader("autograde", "--ExecutePreprocessor.timeout=600")
        with Gradebook(f"sqlite:///{folder}/gradebook.db") as book:
            self.points = {
                submission.student.id: {
                    grade.name: (grade.score, grade.max_score)
                    for notebook in submission.notebooks
                    for grade in notebook.grades
                }
                for submission in book.assignment_submissions("bn")
            }

    def place(self, step: str, name: str) -> Path:
        return self.folder / step / "bn" / f"{name}.ipynb"

    def write(self, notebook: NotebookNode, step: str, name: str) -> None:
        self.place(step, name).parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, self.place(step, name))

    def submit(self, student: str, name: str, put: dict[str, str]) -> None:
        """Hand in a notebook as it was released, but for the answers in `put`."""
        notebook = read(self.place("release", name))
        for key, answer in answers(notebook):
            answer.source = put.get(key, answer.source)
        if name != WHOLE:
            notebook.cells = needed(notebook)
        self.write(notebook, f"submitted/{student}", name)

    def nbgrader(self, command: str, *options: str) -> None:
        """Run one of its commands, as someone who has no settings."""
        mine = {f"JUPYTER_{kind}_DIR": str(self.folder / kind) for kind in ("CONFIG", "DATA")}
        # It starts alembic by its name alone.
        mine["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        ran = subprocess.run(
            [sys.executable, "-m", "nbgrader", command, "bn", *options],
            cwd=self.folder,
            env=os.environ | mine,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert "cannot be converted to" not in ran.stderr, "a check returns something"

    def said(self, student: str, key: str) -> str:
        """What the check of an exercise wrote in the graded notebook."""
        for cell in read(self.place(f"autograded/{student}", PLACES[key])).cells:
            if is_check(cell) and cell.metadata.nbgrader.grade_id == key:
                said = " ".join(output.get("evalue", str(output)) for output in cell.outputs)
                return " ".join(said.split())
        raise AssertionError(f"the check of {key} is gone")


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return Course(tmp_path_factory.mktemp("course"))


def test_there_is_a_solution_to_each_exercise_and_to_nothing_else() -> None:
    assert set(SOLUTIONS) == set(PLACES)


@pytest.mark.parametrize("name", [path.stem for path in LESSONS])
def test_what_is_handed_out_has_no_solution_and_no_output(course: Course, name: str) -> None:
    released = read(course.place("release", name))
    assert not any(cell.get("outputs") for cell in released.cells)
    before = dict(answers(read(course.place("source", name))))
    for key, answer in answers(released):
        if "nbgrader" in answer.metadata:
            assert "raise NotImplementedError()" in answer.source, key
            assert "SOLUTION" not in answer.source, key
        else:  # A bug to be found.
            assert answer.source == before[key].source, key


@pytest.mark.parametrize("key", PLACES)
def test_a_solution_gets_its_point(course: Course, key: str) -> None:
    assert course.points["ada"][key] == (1, 1), course.said("ada", key)


def test_a_mistake_and_no_answer_get_none(course: Course) -> None:
    assert course.points["bob"] == dict.fromkeys(PLACES, (0, 1))
    assert "not yet answered" in course.said("bob", UNANSWERED)


def test_a_mistake_is_named(course: Course) -> None:
    (sentence,) = (mistake.says for mistake in CATALOGUE if mistake.slug == SLIP)
    assert sentence in course.said("bob", MISTAKEN)


def test_readers_see_none_of_its_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(CONFIG))
    page = get_page_config(jupyter_path("labextensions"))
    extensions = {extension["name"] for extension in page["federated_extensions"]}
    assert "@jupyter/nbgrader" in extensions & set(page["disabledExtensions"])

    chosen = PyFileConfigLoader("jupyter_server_config.py", str(CONFIG)).load_config().ServerApp
    brings = Path(sys.prefix, "etc", "jupyter", "jupyter_server_config.d", "nbgrader.json")
    tools = json.loads(brings.read_text())["ServerApp"]["jpserver_extensions"]
    assert {name: chosen.jpserver_extensions.get(name) for name in tools} == dict.fromkeys(
        tools, False
    )
