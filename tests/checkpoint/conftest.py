from collections.abc import Iterator

import pytest
import torch

from tests.checkpoint.children import Children


@pytest.fixture(scope="session")
def children() -> Iterator[Children]:
    processes = Children()
    yield processes
    processes.close()


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> None:
    # By `torch.manual_seed` devices that are not there would each keep a traceback of it.
    torch.default_generator.manual_seed(0)
