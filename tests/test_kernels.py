"""A forked kernel is a kernel like any other, and leaves nothing behind."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client import BlockingKernelClient, KernelManager
from jupyter_client.kernelspec import KernelSpecManager

FILE = Path(__file__).with_name("kernels.py")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a kernelspec: that of the session, if it has one."""
    if "BNLAB_KERNELS" in os.environ:
        specs = Path(os.environ["BNLAB_KERNELS"])
        wait_for(specs.with_name("kernels"))
        yield specs
        return
    folder = tmp_path_factory.mktemp("server")
    address, specs = folder / "kernels", folder / "jupyter"
    with subprocess.Popen([sys.executable, FILE, "serve", address, specs]) as server:
        wait_for(address)
        yield specs
        server.terminate()


def wait_for(address: Path) -> None:
    """Wait until the server has imported its libraries."""
    deadline = time.monotonic() + 60
    while not address.exists() and time.monotonic() < deadline:
        time.sleep(0.1)


def run(client: BlockingKernelClient, code: str) -> str:
    """What a cell prints, or the name of what it raises."""
    said: list[str] = []

    def hear(message: dict) -> None:
        content = message["content"]
        said.append(content.get("text") or content.get("ename") or "")

    client.execute_interactive(code, timeout=60, output_hook=hear)
    return "".join(said).strip()


@pytest.fixture
def manager(specs: Path, tmp_path: Path) -> Iterator[KernelManager]:
    found = KernelSpecManager(kernel_dirs=[str(specs / "kernels")], ensure_native_kernel=False)
    manager = KernelManager(kernel_name="python3", kernel_spec_manager=found)
    manager.start_kernel(cwd=str(tmp_path), env=os.environ | {"BNLAB_TRY": "this"})
    yield manager
    manager.shutdown_kernel(now=True)


@pytest.fixture
def client(manager: KernelManager) -> Iterator[BlockingKernelClient]:
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    yield client
    client.stop_channels()


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_it_is_where_and_as_it_was_asked_for(client: BlockingKernelClient, tmp_path: Path) -> None:
    assert run(client, "import os; print(os.getcwd(), os.environ['BNLAB_TRY'])") == (
        f"{tmp_path} this"
    )
    loaded = (
        "import sys; print('torch' in sys.modules, 'torch' in globals(), 'bnlab' in sys.modules)"
    )
    assert run(client, loaded) == "True False False"
    assert run(client, "import subprocess; print(subprocess.run(['false']).returncode)") == "1"


def test_it_can_be_interrupted_and_goes_on(
    manager: KernelManager, client: BlockingKernelClient
) -> None:
    asked = client.execute(
        "import time; print('now', flush=True); time.sleep(60)", stop_on_error=False
    )
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") == asked:
            if message["msg_type"] == "stream":
                manager.interrupt_kernel()
            if message["msg_type"] == "error":
                assert message["content"]["ename"] == "KeyboardInterrupt"
                break
    assert client.get_shell_msg(timeout=60)["content"]["status"] == "error"
    assert run(client, "print(1)") == "1"


def test_it_ends_with_its_manager(manager: KernelManager, client: BlockingKernelClient) -> None:
    pid = int(run(client, "import os; print(os.getpid())"))
    assert is_running(pid)
    manager.shutdown_kernel(now=True)
    deadline = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(pid)


def test_without_a_server_a_kernel_starts_by_itself(tmp_path: Path) -> None:
    nowhere = [sys.executable, FILE, "start", tmp_path / "nowhere", "--version"]
    said = subprocess.run(nowhere, capture_output=True, text=True, check=True).stdout
    assert said.strip()[0].isdigit()
