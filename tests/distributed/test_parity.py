"""On real processes: what one process finds with all samples, whoever has which."""

import pytest
import torch
from torch import nn

from tests.distributed.worlds import Case, World, cases_of, run_layer, run_shares, shares_of

SIZES = (2, 3, 4)
LOCAL = ("weight gradient", "bias gradient")


DTYPES = {
    "float32": (Case(shares_of(3)["one empty"], (3, 4, 2), {}, torch.float32), 2e-6),
    "float16 with parameters in float32": (
        Case(shares_of(3)["one empty"], (3, 4, 2), {"dtype": torch.float32}, torch.float16),
        2e-3,
    ),
    "bfloat16": (Case(shares_of(3)["one empty"], (3, 4, 2), {}, torch.bfloat16), 2e-2),
}
FAR = Case((5, 3, 4), (3, 4, 2), dtype=torch.float32, shift=1e4)


@pytest.fixture(scope="module")
def found(interpreter, tmp_path_factory):
    """For each number of processes and case what each process found; each world starts once."""
    results = {}
    for size in SIZES:
        cases = cases_of(size)
        if size == 3:
            cases |= {name: case for name, (case, _) in DTYPES.items()} | {"far": FAR}
        world = World(interpreter, size, tmp_path_factory.mktemp("store") / "store")
        ranks = world.call(run_shares, list(cases.values()))
        for name, shares in zip(cases, zip(*ranks, strict=True), strict=True):
            results[size, name] = shares
    return results


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", cases_of(2))
def test_as_one_process_with_all_samples(found, size, case):
    setting = cases_of(size)[case]
    hold_against_joined_batch(setting, found[size, case], 1e-12)


def hold_against_joined_batch(setting, ranks, tolerance):
    """Torch's own batch norm, on the batch that the shares are of."""
    reference = setting.layer(nn.BatchNorm1d if len(setting.shape) < 3 else nn.BatchNorm2d)
    joined = run_layer(reference, list(setting.inputs()))
    close = {"rtol": tolerance, "atol": tolerance}
    for name, expected in joined.items():
        shares = [rank[name] for rank in ranks]
        if name in LOCAL:
            torch.testing.assert_close(sum(shares), expected, **close)
        elif name in ("outputs", "input gradients"):
            assert tuple(map(len, shares)) == setting.shares
            torch.testing.assert_close(torch.cat(shares), expected, **close)
        elif name != "in eval mode":
            for share in shares:
                torch.testing.assert_close(share, expected, **close)
    assert [set(rank) for rank in ranks] == [set(joined)] * len(ranks)
    if not setting.options.get("track_running_stats", True):
        # The statistics of eval mode are then those of a process's own samples.
        first, _ = next(iter(setting.inputs()))
        reference.train()
        for share, batch in zip(ranks, first.split(setting.shares), strict=True):
            torch.testing.assert_close(share["in eval mode"], reference(batch).detach(), **close)
    else:
        answers = torch.cat([rank["in eval mode"] for rank in ranks])
        torch.testing.assert_close(answers, joined["in eval mode"], **close)


@pytest.mark.parametrize("name", DTYPES)
def test_in_other_dtypes(found, name):
    case, tolerance = DTYPES[name]
    hold_against_joined_batch(case, found[3, name], tolerance)


def test_a_mean_far_from_zero_costs_no_precision(found):
    """A float32 near 10,000 is right to 0.0005, and so is all that is made of such numbers."""
    ranks = found[3, "far"]
    exact = nn.BatchNorm2d(3).double()
    exact.load_state_dict(FAR.layer(nn.BatchNorm2d).state_dict())
    joined = run_layer(exact, [(x.double(), g.double()) for x, g in FAR.inputs()])
    for name in ("outputs", "input gradients"):
        seen = torch.cat([rank[name] for rank in ranks]).double()
        torch.testing.assert_close(seen, joined[name], rtol=2e-6, atol=2e-6)
    for rank in ranks:
        for name in ("running_mean", "running_var"):
            torch.testing.assert_close(rank[name].double(), joined[name], rtol=3e-7, atol=0)
