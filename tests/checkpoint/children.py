"""Processes forked from one warm interpreter: to be killed, limited, or to do harm in."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from types import FunctionType
from typing import Any, BinaryIO

import torch
from torch import nn, optim

ROOT = Path(__file__).parent.parent.parent


class Children:
    """Starts functions of the test modules in processes of their own, without a torch import each.

    The interpreter they are forked from has one thread: to fork from pytest's process, which may
    have more, can hang.
    """

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.checkpoint.children"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, function: FunctionType, *arguments: object) -> int:
        """Call a function of a test module in a new process, and return the process's id."""
        # What pytest calls the module is nothing that another process can import.
        source = Path(function.__code__.co_filename).relative_to(ROOT).with_suffix("")
        pid: int = self._ask("start", ".".join(source.parts), function.__name__, arguments)
        return pid

    def wait(self, pid: int, seconds: float = 60) -> Any:
        """What the function returned; an error if it raised, or was killed, or takes longer."""
        status, result = self._ask("wait", pid, seconds)
        if status < 0:
            raise ChildProcessError(f"it was ended by {signal.Signals(-status).name}")
        returned, value = pickle.loads(result)
        if not returned:
            raise ChildProcessError(value)
        return value

    def call(self, function: FunctionType, *arguments: object) -> Any:
        """Call a function in a process of its own and return what it returns."""
        return self.wait(self.start(function, *arguments))

    def kill(self, pid: int) -> None:
        """End a process at once, whatever it is doing."""
        os.kill(pid, signal.SIGKILL)
        self._ask("wait", pid, 60)

    def close(self) -> None:
        """End the interpreter."""
        self._server.communicate()

    def _ask(self, *question: object) -> Any:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        pickle.dump(question, self._server.stdin)
        self._server.stdin.flush()
        return pickle.load(self._server.stdout)


def warm_up() -> None:
    """Import what torch imports no sooner than in the first step of an optimizer."""
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.ones(1)
    optim.SGD([parameter], lr=0.1).step()


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Fork and wait as asked, until nobody asks any more."""
    results: dict[int, BinaryIO] = {}
    while True:
        try:
            kind, *question = pickle.load(questions)
        except EOFError:
            return
        if kind == "start":
            answer, result = fork(*question)
            results[answer] = result
        else:
            answer = end_of(*question, results.pop(question[0]))
        pickle.dump(answer, answers)
        answers.flush()


def fork(module: str, name: str, arguments: tuple[object, ...]) -> tuple[int, BinaryIO]:
    """Start one process, and return where its result will come from."""
    # Here, so that it is imported once and not in every process.
    function = getattr(importlib.import_module(module), name)
    # Not a file: the process may have lost the right, or the room, to write one.
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, os.fdopen(reading, "rb")
    try:
        with os.fdopen(writing, "wb") as result:
            try:
                answer = (True, function(*arguments))
            except BaseException:
                answer = (False, traceback.format_exc())
            pickle.dump(answer, result)
    finally:
        os._exit(0)


def end_of(pid: int, seconds: float, result: BinaryIO) -> tuple[int, bytes]:
    """How a process ended, negative if by a signal, and what it returned.

    It is killed when the time is over.
    """
    late = threading.Timer(seconds, os.kill, (pid, signal.SIGKILL))
    late.start()
    with result:
        # Until the process has written all of it, or has died.
        returned = result.read()
    late.cancel()
    late.join()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), returned


if __name__ == "__main__":
    # What a process prints is no answer: it goes where the errors go.
    reply = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    warm_up()
    serve(sys.stdin.buffer, reply)
