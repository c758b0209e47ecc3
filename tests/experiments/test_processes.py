"""A training shared out to processes, held against what can be computed without them."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bnlab import data
from bnlab.distributed import combine_moments
from bnlab.experiments.one_process import untrained
from bnlab.experiments.processes import DEALS, FIRST, SAME, WAYS, train_on_processes
from bnlab.functional import moments

DIGITS = data.digits(flat=True)
SHARES = (6, 3)


@pytest.fixture(scope="module")
def found():
    return train_on_processes(DIGITS, SHARES, steps=8)


@pytest.mark.parametrize("deal", DEALS)
def test_synchronised_it_is_the_training_of_one_process(found, deal):
    result = found[deal]
    assert (result.deal, result.shares, tuple(result.runs)) == (deal, SHARES, WAYS)
    gaps = result.differences("SyncBatchNorm")
    assert set(gaps) == {*FIRST, "losses"}
    assert max(gaps.values()) < SAME
    joined = result.runs["one process"]
    assert result.runs["SyncBatchNorm"].accuracy == joined.accuracy * len(SHARES)
    assert joined.loss[-1] < 0.8 * joined.loss[0]
    assert joined.accuracy[0] > 0.3


@pytest.mark.parametrize("deal", DEALS)
def test_without_it_is_another(found, deal):
    assert min(found[deal].differences("BatchNorm").values()) > 1e-3


def test_each_by_itself_normalises_its_own_share(found):
    """The first step of both, once more, here and with torch's layers."""
    result = found["by class"]
    assert (result.mean.shape, result.var.shape) == ((2, 128), (2, 128))
    _, mean, var = combine_moments(torch.tensor(SHARES), result.mean, result.var)
    torch.testing.assert_close((mean, var), (result.joint_mean, result.joint_var))
    rows = find_first_batch(result)
    for way, shares in (("BatchNorm", SHARES), ("SyncBatchNorm", (sum(SHARES),))):
        outputs, gradients, means = [], [], []
        for share in rows.split(shares):
            network = untrained(0)
            batch = DIGITS.train.inputs[share].double().requires_grad_()
            outputs.append(network(batch))
            loss = cross_entropy(outputs[-1], DIGITS.train.targets[share], reduction="sum")
            gradients += torch.autograd.grad(loss / sum(SHARES), batch)
            means.append(torch.cat((network.norm1.running_mean, network.norm2.running_mean)))
        first = result.runs[way].first
        torch.testing.assert_close(torch.cat(outputs).detach(), first["outputs"])
        torch.testing.assert_close(torch.cat(gradients), first["input gradients"])
        for expected, seen in zip(means, first["running_mean"], strict=False):
            torch.testing.assert_close(expected, seen)


def find_first_batch(result):
    """The digits of the first batch, as the experiment deals them: seed 0, lowest classes first."""
    generator = torch.Generator().manual_seed(0)
    low = DIGITS.train.targets < 5
    halves = [each.nonzero().flatten() for each in (low, ~low)]
    rows = torch.cat(
        [
            half[torch.randint(len(half), (8, share), generator=generator)[0]]
            for half, share in zip(halves, SHARES, strict=True)
        ]
    )
    before = untrained(0).linear1(DIGITS.train.inputs[rows].double())
    mean, _ = moments(before[: SHARES[0]], 0)
    torch.testing.assert_close(mean[0].detach(), result.mean[0])
    return rows


def test_the_table_has_the_differences(found):
    result = found["mixed"]
    title, head, one, plain, synchronised = repr(result).splitlines()
    assert title == "2 processes with 6 + 3 digits, mixed, against one with all"
    assert head.split("  ")[0] == "largest difference"
    assert synchronised.count("< 1e-12") == 5
    assert f"{result.differences('BatchNorm')['outputs']:.2g}" in plain
    assert one.split() == ["one", "process", f"{100 * result.runs[WAYS[0]].accuracy[0]:.1f}", "%"]
    html = result._repr_html_()
    assert html.count("<tr>") == 4
    assert html.count("&lt; 1e-12") == 5


def test_the_caller_keeps_its_state(found):  # noqa: ARG001 - that it has run
    assert torch.get_default_dtype() == torch.float32
    assert DIGITS.train.inputs.dtype == torch.float32
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize("shares", [(8,), (8, -1), ()])
def test_shares_that_make_no_sense(shares):
    with pytest.raises(ValueError, match="shares are two numbers"):
        train_on_processes(DIGITS, shares)


def test_the_network_has_torchs_norms_to_convert():
    kinds = {type(module) for module in untrained(0).modules()}
    assert nn.BatchNorm1d in kinds
