"""A JupyterLab that knows no one's settings, and the Chromium that looks at it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import nbformat
from nbformat.sign import NotebookNotary
from playwright.sync_api import BrowserContext, ViewportSize, sync_playwright

ROOT = Path(__file__).parent.parent.parent
VIEWPORT: ViewportSize = {"width": 1300, "height": 1000}
SETTINGS = {
    # Cells out of sight stay in the page, so that a test can look at them.
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}


def find_chromium() -> str:
    """The path of a Chromium or Chrome: `$CHROMIUM`, else the first one on the path.

    Raises:
        RuntimeError: there is none; the message says how to get one.
    """
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    for name in filter(None, names):
        if path := shutil.which(name):
            return path
    raise RuntimeError(
        "the browser tests need Chromium or Chrome: `apt-get install chromium`, "
        "`brew install --cask chromium` or, anywhere, `python -m playwright install chromium`; "
        "set CHROMIUM=/path/to/it where it is not on the path. "
        "To run the other tests only: pytest --ignore=tests/browser"
    )


@contextmanager
def chromium() -> Iterator[BrowserContext]:
    """A headless Chromium that talks to no one by itself; its pages share one cache."""
    quiet = ["gpu", "quic", "background-networking", "component-update", "sync"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(),
            args=["--no-first-run", *(f"--disable-{what}" for what in quiet)],
        )
        yield browser.new_context(viewport=VIEWPORT)
        browser.close()


class Lab:
    """A running JupyterLab over one folder; `lab(folder)` starts and stops it."""

    def __init__(self, folder: Path, private: Path) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = private / "lab.log"
        mine = {
            "JUPYTER_CONFIG_PATH": ROOT / "config",
            "JUPYTER_CONFIG_DIR": private / "config",
            "JUPYTER_DATA_DIR": private / "data",
            "JUPYTER_RUNTIME_DIR": private / "runtime",
            "IPYTHONDIR": private / "ipython",
        }
        strangers = ("JUPYTER", "JPY_", "IPYTHON", "MPLBACKEND")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(strangers)}
        self.environment |= {name: str(path) for name, path in mine.items()}
        if "BNLAB_KERNELS" in os.environ:
            self.environment["JUPYTER_PATH"] = os.environ["BNLAB_KERNELS"]
        settings = private / "config" / "labconfig" / "default_setting_overrides.json"
        settings.parent.mkdir(parents=True)
        settings.write_text(json.dumps(SETTINGS))

    @property
    def flags(self) -> list[str]:
        """JupyterLab's command line."""
        options = {
            "ServerApp.port": self.port,
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": self.folder,
            "ServerApp.disable_check_xsrf": True,
            "IdentityProvider.token": "",
            # No notebook has a language server, and to look for one takes npm a second.
            "LanguageServerManager.autodetect": False,
            # The page's `jupyterapp` tells whether a kernel is ready and idle.
            "LabApp.expose_app_in_browser": True,
        }
        return ["--no-browser", "--allow-root", *(f"--{k}={v}" for k, v in options.items())]

    def start(self, *command: str) -> None:
        """Start the server, by this command or else directly, and wait until it answers."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command or [sys.executable, "-m", "jupyterlab", *self.flags],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"JupyterLab did not start:\n{self.log.read_text()[-3000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server and, with it, its kernels."""
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()

    def api(self, path: str, method: str = "GET") -> Any:
        """What the server answers to `/api/path`."""
        request = urllib.request.Request(f"{self.url}/api/{path}", method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or "null")

    def close_kernels(self) -> None:
        """Shut every kernel down, so that notebooks do not compete for memory."""
        for session in self.api("sessions"):
            self.api(f"sessions/{session['id']}", "DELETE")

    def trusted_copy(self, name: str) -> str:
        """The name of a copy of a notebook, signed as its author would sign it: `jupyter trust`."""
        copy = self.folder / f"trusted-{name}"
        shutil.copy(self.folder / name, copy)
        # Not by that command, which takes three seconds to start.
        notary = NotebookNotary(data_dir=self.environment["JUPYTER_DATA_DIR"])
        with closing(notary.store):
            notary.sign(nbformat.read(copy, as_version=4))
        return copy.name

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def _answers(self) -> bool:
        try:
            self.api("status")
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        return True


@contextmanager
def lab(folder: Path, private: Path) -> Iterator[Lab]:
    """A JupyterLab over `folder` that keeps its own files in `private`."""
    server = Lab(folder, private)
    server.start()
    try:
        yield server
    finally:
        server.stop()
