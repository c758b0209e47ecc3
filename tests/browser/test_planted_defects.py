"""The browser tests' own test: each defect planted here must be found, and nothing else."""

import json

import nbformat
import pytest
from playwright.sync_api import BrowserContext

from tests.browser.explorer import Explorer
from tests.browser.lab import Lab
from tests.browser.messages import error_in
from tests.browser.notebook import Notebook

TOYS = [
    "ToyLive", "ToySweep", "Waiting", "NumbLive", "NumbSweep", "BlankLive", "BlankSweep", "Stuck",
]  # fmt: skip
CELLS = [
    "import toys\nfrom IPython.display import HTML\nfrom bnlab.apps.prediction import Prediction",
    *(f"toys.{name}()" for name in TOYS),
    "guess = Prediction('Which?', ['a', 'b', 'c'])\nguess",
    "guess.hold_against('b')",
    "Prediction('And which?', ['d', 'e'])",
    "1 / 0",
]
WRONG = [
    "import toys\nfrom IPython.display import HTML",
    "toys.Raising()",
    "HTML('<script>setTimeout(() => { throw Error(\"planted script\") })</script>')",
    "1 / 0",
    "1",
]


def write(server: Lab, name: str, cells: list[str], *, tag: str = "planted") -> None:
    """Write a notebook of these code cells, the last one tagged."""
    code = [nbformat.v4.new_code_cell(source) for source in cells]
    code[-1].metadata["tags"] = [tag]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=code, metadata=kernel), server.folder / name)


@pytest.fixture(scope="module")
def notebook(desk: Notebook, server: Lab) -> Notebook:
    write(server, "planted.ipynb", CELLS, tag="raises-exception")
    desk.turn_to("planted.ipynb")
    desk.run_all()
    return desk


def toy(notebook: Notebook, name: str) -> Explorer:
    return notebook.explorers()[TOYS.index(name)]


def test_a_deliberate_exception_is_no_error(notebook: Notebook) -> None:
    assert notebook.run_errors() == []


@pytest.mark.parametrize("name", ["ToyLive", "ToySweep", "Waiting"])
def test_a_healthy_explorer_passes(notebook: Notebook, name: str) -> None:
    explorer = toy(notebook, name)
    assert explorer.blank() + explorer.unnamed() + explorer.dead_controls() == []
    assert notebook.unseen_errors() == []


@pytest.mark.parametrize("name", ["NumbLive", "NumbSweep"])
def test_a_control_that_changes_nothing_is_caught(notebook: Notebook, name: str) -> None:
    explorer = toy(notebook, name)
    assert explorer.dead_controls() == [f"{explorer}: mode changes nothing"]


def test_a_reset_that_leaves_the_picture_is_caught(notebook: Notebook) -> None:
    explorer = toy(notebook, "Stuck")
    assert f"{explorer}: reset after mean shows another picture" in explorer.dead_controls()


@pytest.mark.parametrize("name", ["BlankLive", "BlankSweep"])
def test_a_blank_picture_is_caught(notebook: Notebook, name: str) -> None:
    explorer = toy(notebook, name)
    assert explorer.blank() == [f"{explorer}: blank"]


def test_a_verdict_follows_its_prediction_and_no_other(notebook: Notebook) -> None:
    judged, forgotten = notebook.predictions()
    assert judged.problems() == []
    (problem,) = forgotten.problems()
    assert "no verdict follows" in problem


def test_missing_names_are_caught(notebook: Notebook) -> None:
    live, sweep = toy(notebook, "ToyLive"), toy(notebook, "ToySweep")
    for explorer in (live, sweep):
        explorer.root.evaluate(
            """(root) => {
              for (const label of root.querySelectorAll("label")) label.before(...label.children);
              for (const named of root.querySelectorAll("[aria-label], [alt]"))
                for (const name of ["aria-label", "alt"]) named.removeAttribute(name);
            }"""
        )
        handle, *_, picture = explorer.unnamed()
        assert "no accessible name" in handle
        assert "says nothing" in picture


def test_what_goes_wrong_in_a_run_is_caught(browser: BrowserContext, server: Lab) -> None:
    write(server, "wrong.ipynb", WRONG)
    # In a page of its own, since a page keeps what a script has broken.
    notebook = Notebook(browser, server, "wrong.ipynb")
    notebook.run_all()
    assert notebook.run_errors() == [
        "cell 3: ZeroDivisionError: division by zero",
        "cell 4 was not run",
        "planted script",
    ]
    (explorer,) = notebook.explorers()
    explorer.dead_controls()
    assert set(notebook.messages) == {"ArithmeticError: planted at mean 1.0"}
    notebook.close()


def test_both_websocket_protocols_are_understood() -> None:
    parts = [
        {"msg_type": "error"},
        {"msg_type": "comm_msg"},
        {},
        {"ename": "ValueError", "evalue": "planted"},
    ]
    names = ["header", "parent_header", "metadata", "content"]
    text = json.dumps(dict(zip(names, parts, strict=True)) | {"channel": "iopub"})
    blobs = [b"iopub", *(json.dumps(part).encode() for part in parts), b"buffer"]
    offsets = [8 * (len(blobs) + 2)]
    for blob in blobs:
        offsets.append(offsets[-1] + len(blob))
    head = b"".join(n.to_bytes(8, "little") for n in (len(offsets), *offsets))
    assert error_in(text) == error_in(head + b"".join(blobs)) == "ValueError: planted"
