"""What the servers of `make lab` and of the browser tests have that a plain JupyterLab has not."""

import json
import shlex
from contextlib import closing
from pathlib import Path

import pytest
from websocket import create_connection

from tests.browser.lab import ROOT, Lab


def by_make(lab: Lab) -> list[str]:
    make = ["make", f"--directory={ROOT}", "--old-file=.venv/.installed", "lab"]
    return [*make, f"LAB_FLAGS={shlex.join(lab.flags)}"]


@pytest.mark.parametrize("made", [False, True], ids=["as the tests start it", "make lab"])
def test_a_picture_waits_for_no_acknowledgement(made: bool, tmp_path: Path) -> None:
    lab = Lab(ROOT / "notebooks", tmp_path)
    # A reader's own settings must count beside ours, wherever they are.
    own = tmp_path / ("own" if made else "config")
    own.mkdir(exist_ok=True)
    settings = {"ServerApp": {"jpserver_extensions": {"tests.browser.nodelay": True}}}
    (own / "jupyter_server_config.json").write_text(json.dumps(settings))
    if made:
        lab.environment["JUPYTER_CONFIG_PATH"] = str(own)
    lab.environment["PYTHONPATH"] = str(ROOT)
    lab.start(*(by_make(lab) if made else []))
    try:
        kernel = lab.api("kernels", "POST")["id"]
        channels = f"ws://127.0.0.1:{lab.port}/api/kernels/{kernel}/channels?session_id=test"
        with closing(create_connection(channels, timeout=20)):
            assert lab.api("nodelay") == {"nodelay": [True]}
    finally:
        lab.stop()
