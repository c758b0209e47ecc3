"""Saved notebooks where nothing runs: freshly cloned, reopened, exported."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.explorer import Explorer
from tests.browser.lab import VIEWPORT, Lab
from tests.browser.notebook import Notebook, open_page
from tests.browser.saved import WIDGET, missing, missing_when_loaded

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
CONFIG = NOTEBOOKS / "jupyter_nbconvert_config.json"
TOYS = "toys.ipynb"
CELLS = [
    "import toys\nfrom bnlab.apps.prediction import Prediction",
    "toys.ToyLive()",
    "toys.ToySweep()",
    "guess = Prediction('Which?', ['a', 'b'])\nguess",
    "guess.hold_against('b')",
]
FORMULA = "The mean is $\\mu$."
OURS = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))


def convert(server: Lab, name: str, *options: str) -> None:
    command = [sys.executable, "-m", "nbconvert", f"--config={CONFIG}", *options, name]
    subprocess.run(
        command, cwd=server.folder, env=server.environment, check=True, capture_output=True
    )


@pytest.fixture(scope="module")
def toys(server: Lab) -> str:
    """The name of a small notebook, run and saved."""
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    cells.append(nbformat.v4.new_markdown_cell(FORMULA))
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path = server.folder / TOYS
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    convert(server, TOYS, "--to=notebook", "--execute", "--inplace")
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    nbformat.write(notebook, path)
    return TOYS


@pytest.fixture(params=[TOYS, *OURS])
def name(request: pytest.FixtureRequest, toys: str) -> str:
    return toys if request.param == TOYS else str(request.param)


@pytest.fixture(scope="module")
def trusted(server: Lab, toys: str) -> str:
    """The name of a trusted copy of the toys."""
    return server.trusted_copy(toys)


def test_every_notebook_has_explorers(server: Lab, name: str) -> None:
    text = (server.folder / name).read_text()
    assert "bnlab-sweep" in text or WIDGET in text


def test_just_cloned_and_untrusted(desk: Notebook, server: Lab, name: str) -> None:
    desk.turn_to(name, kernel=False)
    assert missing(desk.page, server, name) == []


def test_trusted_and_reopened_without_any_kernel(desk: Notebook, server: Lab, trusted: str) -> None:
    desk.turn_to(trusted, kernel=False)
    assert missing(desk.page, server, trusted) == []


def test_trusted_and_reopened_in_a_new_kernel(desk: Notebook, server: Lab, trusted: str) -> None:
    desk.turn_to(trusted)
    assert missing_when_loaded(desk.page, server, trusted) == []


def test_a_place_without_a_picture_is_caught(desk: Notebook, server: Lab, toys: str) -> None:
    bare = nbformat.read(server.folder / toys, as_version=4)
    for cell in bare.cells:
        # As if the explorer had displayed its widget and nothing else.
        cell.outputs = [
            output for output in cell.get("outputs", []) if WIDGET in output.get("data", {})
        ]
    nbformat.write(bare, server.folder / "bare.ipynb")
    copy = server.trusted_copy("bare.ipynb")
    desk.turn_to(copy)
    assert missing(desk.page, server, copy, patience=2) == ["cell 1: no picture"]


@pytest.fixture(scope="module")
def pages(server: Lab, toys: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which `make html` exported them all."""
    folder = tmp_path_factory.mktemp("export")
    for each in [toys, *OURS]:
        shutil.copy(server.folder / each, folder)
    shutil.copytree(NOTEBOOKS / "solutions", folder / "solutions")
    # The old file: what is installed stays as it is.
    make = ["make", "html", "--old-file=.venv/.installed"]
    folders = [f"NOTEBOOKS={folder}", f"HTML={folder / 'html'}"]
    subprocess.run([*make, *folders], cwd=NOTEBOOKS.parent, check=True, capture_output=True)
    return folder / "html"


@dataclass
class Exported:
    """A notebook's exported page, open where there is no network, and what went wrong in it."""

    name: str
    page: Page
    errors: list[str]


@pytest.fixture(scope="module", params=[TOYS, *OURS])
def exported(
    request: pytest.FixtureRequest, browser: BrowserContext, pages: Path
) -> Iterator[Exported]:
    assert browser.browser
    with closing(browser.browser.new_context(offline=True, viewport=VIEWPORT)) as offline:
        page, errors = open_page(offline), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda it: errors.extend([it.url] if it.url.startswith("http") else []))
        page.goto((pages / request.param).with_suffix(".html").as_uri())
        yield Exported(request.param, page, errors)


def test_exported_links_lead_to_exported_pages(exported: Exported, pages: Path) -> None:
    names = {path.name for path in pages.iterdir()}
    links = exported.page.locator("a[href]").evaluate_all(
        "all => all.map(each => each.getAttribute('href'))"
    )
    here = [link for link in links if not link.startswith(("#", "http"))]
    for link in here:
        page, _, place = link.partition("#")
        assert page in names, link
        assert not place or f'id="{place}"' in (pages / page).read_text(encoding="utf-8"), link
    assert here or exported.name == TOYS


def test_exported_formulas_are_typeset(exported: Exported) -> None:
    page = exported.page
    page.wait_for_function("window.MathJax?.Hub?.queue.pending === 0 && MathJax.isReady")
    shown = page.locator(".jp-MarkdownOutput")
    expect(shown.locator(".MathJax").first).to_be_visible()
    expect(shown.locator(".merror, .MathJax_Error")).to_have_count(0)
    assert [text for text in shown.all_inner_texts() if "$" in text or "\\" in text] == []
    # Without its own font a formula is there, but out of shape.
    fonts = page.evaluate("[...document.fonts].map((font) => `${font.family} ${font.status}`)")
    assert "STIXMathJax_Normal-italic loaded" in fonts


def test_exported_pages_need_neither_kernel_nor_network(exported: Exported, server: Lab) -> None:
    assert missing(exported.page, server, exported.name) == []
    sweeps = Explorer.all_in(exported.page)
    problems = [p for e in sweeps for p in e.blank() + e.unnamed() + e.dead_controls()]
    assert problems + exported.errors == []
