"""Kernels that have torch and scikit-learn loaded already, forked from one process that has.

Some forty kernels are started for a session of tests, and each would spend five to eight seconds on
the same imports. `serve` imports them once; `start` is what a kernel's command line becomes, and
has a copy of that process run the kernel in its place. A kernel of its own starts where that fails.

    python tests/kernels.py serve SOCKET FOLDER
    python tests/kernels.py start SOCKET -f CONNECTION_FILE

FOLDER gets a kernelspec `python3`, for JUPYTER_PATH. The signals that a kernel gets, and its end,
are passed on through the socket in both directions.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

# torch._dynamo is what the first optimizer imports, the next two what digits are read with.
LIBRARIES = (
    "torch", "torch._dynamo", "sklearn.datasets", "sklearn.model_selection", "ipykernel.kernelapp",
    "ipywidgets", "joblib", "matplotlib.figure", "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg", "PIL.Image", "tqdm.auto",
)  # fmt: skip
INTERRUPT = b"i"


def serve(address: str, folder: str) -> None:
    """Import the libraries, then fork a kernel for everyone who connects."""
    command = [sys.executable, __file__, "start", address, "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Python 3 (ipykernel)", "language": "python"}
    path = Path(folder, "kernels", "python3", "kernel.json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**spec, "metadata": {"debugger": True}}))
    sys.path.pop(0)  # this file's folder, which no kernel has
    # A kernel says so itself, but before Matplotlib is imported.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    for name in LIBRARIES:
        __import__(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the kernels
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        while True:
            caller, _ = listening.accept()
            message, outputs, _, _ = socket.recv_fds(caller, 1 << 20, 3)
            if not os.fork():
                listening.close()
                become_kernel(caller, json.loads(message), outputs)
            for descriptor in outputs:
                os.close(descriptor)
            caller.close()


def become_kernel(caller: socket.socket, wanted: dict[str, Any], outputs: list[int]) -> None:
    """Run a kernel as the caller would: its folder, environment, outputs and arguments."""
    import threading

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"] | {"JPY_PARENT_PID": str(os.getppid())})
    for number, descriptor in enumerate(outputs):
        os.dup2(descriptor, number)
        os.close(descriptor)

    def listen() -> None:
        while caller.recv(1) == INTERRUPT:
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(0)  # the caller is gone

    threading.Thread(target=listen, daemon=True).start()
    from ipykernel import kernelapp

    sys.argv = ["ipykernel_launcher", *wanted["arguments"]]
    kernelapp.launch_new_instance()
    os._exit(0)


def start(address: str, *arguments: str) -> None:
    """Have a kernel forked, and live as long as it does."""
    wanted = {"folder": str(Path.cwd()), "environment": dict(os.environ), "arguments": arguments}
    try:
        kernel = socket.socket(socket.AF_UNIX)
        kernel.connect(address)
        socket.send_fds(kernel, [json.dumps(wanted).encode()], [0, 1, 2])
    except OSError:
        os.execv(sys.executable, [sys.executable, "-m", "ipykernel_launcher", *arguments])
    signal.signal(signal.SIGINT, lambda *_: kernel.send(INTERRUPT))
    kernel.recv(1)


if __name__ == "__main__":
    {"serve": serve, "start": start}[sys.argv[1]](*sys.argv[2:])
