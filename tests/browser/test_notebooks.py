"""Every notebook as a reader meets it: *Run All*, then move everything that moves, by keyboard."""

from pathlib import Path

import nbformat
import pytest

from tests.browser.lab import Lab
from tests.browser.notebook import Notebook

FOLDER = Path(__file__).parents[2] / "notebooks"
# From the last one on: later lessons take longer, and two workers share them.
NAMES = sorted((path.name for path in FOLDER.glob("*.ipynb")), reverse=True)


@pytest.fixture(scope="module", params=NAMES)
def notebook(request: pytest.FixtureRequest, desk: Notebook, server: Lab) -> Notebook:
    """The notebook after *Run All*, started without any output."""
    cells = nbformat.read(server.folder / request.param, as_version=4)
    for cell in cells.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    name = f"fresh-{request.param}"
    nbformat.write(cells, server.folder / name)
    desk.turn_to(name)
    desk.run_all()
    return desk


def test_runs_from_top_to_bottom(notebook: Notebook) -> None:
    assert notebook.run_errors() == []


def test_every_picture_shows_and_says_something(notebook: Notebook) -> None:
    explorers = notebook.explorers()
    assert explorers
    assert [problem for e in explorers for problem in e.blank() + e.unnamed()] == []


def test_every_control_moves_its_picture_and_reset_returns_it(notebook: Notebook) -> None:
    assert [problem for e in notebook.explorers() for problem in e.dead_controls()] == []
    assert notebook.unseen_errors() == []


def test_every_prediction_is_held_against_its_measurement(notebook: Notebook) -> None:
    assert [problem for p in notebook.predictions() for problem in p.problems()] == []
    assert notebook.unseen_errors() == []
