import pytest
import torch


@pytest.fixture(autouse=True)
def same_numbers_each_time():
    # By `torch.manual_seed` devices that are not there would each keep a traceback of it.
    torch.default_generator.manual_seed(0)
