"""Processes that torchrun starts end with whoever started them, and say why if they fail."""

import time
from pathlib import Path

import psutil
import pytest

from bnlab.experiments.torchrun import run_under_torchrun

MODULE = "tests.distributed.waiting"


def start_what_waits(folder: Path) -> None:
    run_under_torchrun(MODULE, 2, str(folder))


def test_nobody_is_left_when_the_caller_is_killed(interpreter, tmp_path):
    caller = interpreter.start(start_what_waits, tmp_path)
    until = time.monotonic() + 60
    while len(found := list(tmp_path.iterdir())) < 2:
        assert time.monotonic() < until, "they do not start"
        time.sleep(0.05)
    processes = [psutil.Process(int(pid)) for pid in {p for f in found for p in f.name.split()}]
    assert len(processes) == 3, "torchrun and the two that it started"
    interpreter.kill(caller)
    _, alive = psutil.wait_procs(processes, 20)
    assert not alive


def test_what_takes_too_long_is_ended(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parent.parent.parent)
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(TimeoutError, match=r"took longer than 0\.5 s and was ended"):
        run_under_torchrun(MODULE, 1, str(tmp_path), timeout=0.5)
    assert set(psutil.Process().children(recursive=True)) == before


def test_a_failure_is_shown(monkeypatch):
    monkeypatch.chdir(Path(__file__).parent.parent.parent)
    with pytest.raises(RuntimeError, match="this one fails"):
        run_under_torchrun(MODULE, 1, "fail")
