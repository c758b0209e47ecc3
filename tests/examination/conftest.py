from collections.abc import Iterator

import pytest
import torch
from torch import nn

from bnlab import data
from bnlab.experiments.planted_defects import train_healthy


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    return data.digits(flat=True)


@pytest.fixture(scope="session")
def healthy(digits: data.Dataset) -> nn.Sequential:
    """Trained once; tests break copies."""
    return train_healthy(digits)


@pytest.fixture(autouse=True)
def same_numbers_each_time() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
