from collections.abc import Iterator

import pytest

from tests.checkpoint.children import Children
from tests.distributed.worlds import World


@pytest.fixture(scope="session")
def interpreter() -> Iterator[Children]:
    """What processes are forked from; it has imported torch for them."""
    processes = Children()
    yield processes
    processes.close()


@pytest.fixture
def world(interpreter, tmp_path_factory):
    """Makes groups of real processes."""
    return lambda size: World(interpreter, size, tmp_path_factory.mktemp("store") / "store")
