"""Each notebook's running time and memory, and what `import bnlab` adds to `import torch`.

A notebook starts with no finished runs on disk.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
SECONDS, MILLISECONDS = 60, 30  # the limits of a run and of an import
IMPORT = """
import time, torch
start = time.perf_counter()
import bnlab
print(1000 * (time.perf_counter() - start))
"""


def peak_memory(process: int) -> float:
    """The most memory (MiB) that a process ever held, as Linux counts it; else not a number."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except FileNotFoundError:
        return float("nan")
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(peak) / 1024


def run(path: Path) -> tuple[float, float]:
    """Seconds to run all cells in a fresh kernel, and the kernel's peak memory in MiB."""
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, resources=where, extra_arguments=["--log-level=ERROR"])
    with (
        tempfile.TemporaryDirectory() as runs,
        client.setup_kernel(
            env=os.environ | {"BNLAB_CACHE": runs, "BNLAB_PROGRESS": f"{runs}/progress.json"}
        ),
    ):
        start = time.perf_counter()
        for at, cell in enumerate(notebook.cells):
            client.execute_cell(cell, at)
        seconds = time.perf_counter() - start
        return seconds, peak_memory(client.km.provisioner.pid)


def import_times(processes: int) -> list[float]:
    """Milliseconds that `import bnlab` takes after `import torch`, each in a fresh process."""
    command = [sys.executable, "-c", IMPORT]
    outputs = (subprocess.check_output(command, text=True) for _ in range(processes))
    return [float(output) for output in outputs]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", default="", help="part of a notebook's name")
    options.add_argument("--processes", type=int, default=15, help="fresh processes that import")
    chosen = options.parse_args()
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print(f"{'notebook':36}{'seconds':>9}{'peak MiB':>10}")
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if chosen.only in path.name:
            seconds, peak = run(path)
            over = "   over" if seconds > SECONDS else ""
            print(f"{path.name:36}{seconds:9.1f}{peak:10.0f}{over}", flush=True)
    times = import_times(chosen.processes)
    median = statistics.median(times)
    print(
        f"import bnlab beyond import torch: median {median:.1f} ms of {len(times)} processes "
        f"({min(times):.1f} to {max(times):.1f}); limit {MILLISECONDS} ms"
        f"{'   over' if median > MILLISECONDS else ''}"
    )


if __name__ == "__main__":
    main()
