import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.lab import Lab, chromium, lab
from tests.browser.notebook import Notebook

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parent.parent / "notebooks"
FIRST = "00-start-here.ipynb"


# Of the package, not of the session: nbval needs the event loop that Playwright holds.
@pytest.fixture(scope="package")
def browser() -> Iterator[BrowserContext]:
    with chromium() as context:
        yield context


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("notebooks")
    for path in [*NOTEBOOKS.glob("*.ipynb"), HERE / "toys.py"]:
        shutil.copy(path, folder)
    with lab(folder, tmp_path_factory.mktemp("jupyter")) as running:
        yield running


@pytest.fixture(scope="package")
def desk(browser: BrowserContext, server: Lab) -> Iterator[Notebook]:
    """A JupyterLab in which tests open one notebook after the other, sooner than in new pages."""
    with closing(Notebook(browser, server, FIRST, kernel=False)) as notebook:
        yield notebook
