"""For all tests: no finished runs to start from; in two workers, the longest files first."""

import os
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent
# The longest first, so that neither worker is left with one when the other has finished.
FIRST = [ROOT / "tests" / "browser", ROOT / "notebooks", ROOT / "tests" / "test_style.py"]


def pytest_configure(config: pytest.Config) -> None:
    if is_worker(config):
        # Before torch is imported: one thread a worker, and one a kernel that it starts.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        return
    # Every worker, kernel and server inherits it: what one has trained the others find.
    folder = tempfile.TemporaryDirectory(prefix="bnlab-runs-")
    environment = pytest.MonkeyPatch()
    environment.setenv("BNLAB_CACHE", folder.name)
    for clean in (folder.cleanup, environment.undo):
        config.add_cleanup(clean)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if is_worker(config):
        items.sort(key=place)


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def place(item: pytest.Item) -> int:
    """How early an item comes; among equals the order stays."""
    found = [at for at, path in enumerate(FIRST) if item.path.is_relative_to(path)]
    return found[0] if found else len(FIRST)
