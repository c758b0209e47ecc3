"""Start a module in several processes at once, as `torchrun` does, and see to it that they end."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
from typing import TextIO

LINES = 80
"""So much of what failed processes wrote is shown."""


def run_under_torchrun(module: str, processes: int, *arguments: str, timeout: float = 240) -> None:
    """Run `torchrun --standalone --nproc-per-node PROCESSES -m MODULE ARGUMENTS` to its end.

    The processes meet on this machine's loopback, on a free port, and look no name up. Each
    computes with one thread. They are to call `end_with_parent`: then none of them outlives this
    call, nor this program, whatever ends it.

    Args:
        module: Dotted name of what each process runs.
        processes: How many there are.
        *arguments: What they find in `sys.argv`.
        timeout: Seconds they may take, start included.

    Raises:
        ValueError: `processes` is below 1.
        RuntimeError: One of them failed; the message has the end of what they wrote.
        TimeoutError: They took too long, and have been ended.

    Example:
        >>> run_under_torchrun("bnlab.experiments.one_process", 0)
        Traceback (most recent call last):
        ValueError: processes is how many there are, at least 1, but is 0

    `torchrun`: https://pytorch.org/docs/stable/elastic/run.html
    """
    if processes < 1:
        raise ValueError(f"processes is how many there are, at least 1, but is {processes}")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--local-addr", "127.0.0.1", "--nproc-per-node", str(processes)]
    with (
        tempfile.TemporaryFile("w+", errors="replace") as log,
        subprocess.Popen(
            [*command, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=_environment(),
        ) as agent,
    ):
        try:
            status = agent.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(
                f"{module} in {processes} processes took longer than {timeout:g} s and was ended: "
                f"raise the timeout, or look where they wait for each other:\n{_end_of(log)}"
            ) from error
        finally:
            _end(agent)
        if status:
            raise RuntimeError(f"{module} failed in {processes} processes:\n{_end_of(log)}")


def end_with_parent() -> None:
    """End this process as soon as the program that called `run_under_torchrun` is no more.

    Nothing is ever written to the standard input that it gave to its processes: to read from there
    is to wait for its end.
    """

    def wait() -> None:
        # Past `sys.stdin`, whose lock a waiting thread would hold while Python shuts down.
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _environment() -> dict[str, str]:
    found = {**os.environ, "OMP_NUM_THREADS": "1"}
    # Or gloo asks what address the machine's name has, and binds to that.
    loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    if loopback:
        found.setdefault("GLOO_SOCKET_IFNAME", loopback[0])
    return found


def _end(agent: subprocess.Popen[bytes]) -> None:
    assert agent.stdin is not None
    agent.stdin.close()
    if agent.poll() is None:
        agent.terminate()
        try:
            agent.wait(10)
        except subprocess.TimeoutExpired:
            agent.kill()


def _end_of(log: TextIO) -> str:
    log.seek(0)
    return "".join(log.readlines()[-LINES:])
