"""Every notebook as a reader meets it: open, run, and move everything that moves, by keyboard."""

from pathlib import Path

import pytest

from tests.browser.lab import Lab
from tests.browser.notebook import Notebook
from tests.browser.saved import missing_when_loaded

FOLDER = Path(__file__).parents[2] / "notebooks"
# From the last one on: later lessons take longer, and two workers share them.
NAMES = sorted((path.name for path in FOLDER.glob("*.ipynb")), reverse=True)


@pytest.fixture(scope="module", params=NAMES)
def reopened(request: pytest.FixtureRequest, desk: Notebook, server: Lab) -> Notebook:
    """The notebook as it was saved and trusted, opened with a new kernel."""
    desk.turn_to(server.trusted_copy(request.param))
    return desk


# In the page that is open already: to open a notebook anew takes longer than most tests.
@pytest.fixture(scope="module")
def notebook(reopened: Notebook) -> Notebook:
    """The notebook after *Clear Outputs of All Cells* and *Run All*."""
    reopened.clear()
    assert reopened.explorers() == []
    reopened.run_all()
    return reopened


def test_trusted_and_reopened_in_a_new_kernel(reopened: Notebook, server: Lab) -> None:
    assert missing_when_loaded(reopened.page, server, reopened.name) == []


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
