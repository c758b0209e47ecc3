"""For all tests: no finished runs to start from; two workers that end at about the same time.

With workers, kernels are forked from a process that has the libraries loaded: see tests/kernels.py.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).parent
BY_NOTEBOOK = "tests/browser/test_notebooks.py"
# The longest first, so that neither worker is left with one when the other has finished.
FIRST = [
    "tests/browser/test_without_kernel.py", BY_NOTEBOOK, "tests/browser", "notebooks",
    "tests/test_nbgrader.py", "tests/test_style.py", "tests/layers/test_parity.py",
    "tests/test_keras_twin.py", "tests/test_nbval_conftest.py", "tests/training",
    "tests/checkpoint",
]  # fmt: skip


class Portions(LoadFileScheduling):
    """What stays in one worker, in its order: a file, or one notebook of the longest file."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        return test.partition("[")[2] if file == BY_NOTEBOOK else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Portions | None:
    return Portions(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_configure(config: pytest.Config) -> None:
    if is_worker(config):
        # Before torch is imported: one thread a worker, and one a kernel that it starts. Nor does a
        # sweep start another process, since the other core has a worker of its own.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        os.environ.setdefault("LOKY_MAX_CPU_COUNT", "1")
        if "BNLAB_KERNELS" in os.environ:
            config.option.nbval_current_env = False
            config.option.nbval_kernel_name = "python3"
        return
    # The many processes that are started need not each compile the package.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # Every worker, kernel and server inherits it: what one has trained the others find.
    folder = tempfile.TemporaryDirectory(prefix="bnlab-runs-")
    environment = pytest.MonkeyPatch()
    environment.setenv("BNLAB_CACHE", folder.name)
    environment.setenv("BNLAB_PROGRESS", str(Path(folder.name, "progress.json")))
    for clean in (folder.cleanup, environment.undo):
        config.add_cleanup(clean)
    if config.getoption("numprocesses", None) and sys.platform == "linux":
        serve_kernels(config, folder.name, environment)


def serve_kernels(config: pytest.Config, folder: str, environment: pytest.MonkeyPatch) -> None:
    """Have kernels start from one that has the libraries loaded; `python3` means such a one."""
    environment.setenv("BNLAB_KERNELS", f"{folder}/jupyter")
    environment.setenv("JUPYTER_PATH", f"{folder}/jupyter")
    command = [sys.executable, ROOT / "tests" / "kernels.py", "serve", f"{folder}/kernels"]
    server = subprocess.Popen(
        [*command, os.environ["BNLAB_KERNELS"]],
        env={"OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1", **os.environ},
    )
    config.add_cleanup(server.wait)
    config.add_cleanup(server.terminate)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if is_worker(config):
        items.sort(key=place)


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def place(item: pytest.Item) -> int:
    """How early an item comes; among equals the order stays."""
    found = [at for at, path in enumerate(FIRST) if item.path.is_relative_to(ROOT / path)]
    return found[0] if found else len(FIRST)
