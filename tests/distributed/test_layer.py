"""What there is to a SyncBatchNorm without other processes: a batch norm, and how to come by it."""

import copy
import inspect
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import bnlab
from bnlab.distributed import combine_moments
from bnlab.functional import moments

SHAPES = ((8, 3), (4, 3, 4, 2), (2, 3, 2, 1, 2, 2))


def test_the_constructor_is_torchs():
    ours, theirs = (
        inspect.signature(kind).parameters for kind in (bnlab.SyncBatchNorm, nn.SyncBatchNorm)
    )
    assert [(p.name, p.default, p.kind) for p in ours.values()] == [
        (p.name, p.default, p.kind) for p in theirs.values()
    ]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"track_running_stats": False}])
def test_alone_it_is_what_torchs_is_alone(shape, training, options):
    layers = [
        kind(3, **options).train(training) for kind in (bnlab.SyncBatchNorm, nn.SyncBatchNorm)
    ]
    torch.manual_seed(0)
    assert bnlab.compare(*layers, torch.randn(shape))


def network() -> nn.Module:
    """Every kind of norm, one of them at two places, and what stays as it is between them."""

    class Own(nn.BatchNorm1d):
        pass

    shared = nn.BatchNorm2d(3)
    return nn.Sequential(
        *(nn.Conv2d(3, 3, 1), shared, nn.ReLU(), shared, bnlab.BatchNorm2d(3, affine=False)),
        nn.Sequential(nn.BatchNorm1d(3, momentum=None), nn.BatchNorm3d(3, bias=False)),
        *(bnlab.BatchNorm1d(3, eps=0.1), bnlab.BatchNorm3d(3), nn.SyncBatchNorm(3)),
        *(nn.GroupNorm(1, 3), nn.LazyBatchNorm1d(), Own(3)),
    )


def test_batch_norms_become_synchronised_and_stay_what_they_are():
    model = network()
    model[5].eval()
    model[1](torch.randn(2, 3, 2, 2))
    before = list(model.modules())
    state = copy.deepcopy(model[:10].state_dict())
    settings = [layer.extra_repr() for layer in before]
    modes = [layer.training for layer in before]
    parameters = list(model.parameters())
    seen = []
    model[1].register_forward_hook(lambda *_: seen.append("hook"))

    assert bnlab.SyncBatchNorm.convert_sync_batchnorm(model, "a group") is model
    assert all(one is other for one, other in zip(model.modules(), before, strict=True))
    assert all(one is other for one, other in zip(model.parameters(), parameters, strict=True))
    assert [layer.extra_repr() for layer in before] == settings
    assert [layer.training for layer in before] == modes
    torch.testing.assert_close(model[:10].state_dict(), state)
    assert model[1] is model[3]
    converted = [*model[1:2], model[4], *model[5], *model[6:9]]
    assert {type(layer) for layer in converted} == {bnlab.SyncBatchNorm}
    assert {layer.process_group for layer in converted} == {"a group"}
    kept = [type(layer).__name__ for layer in model[9:]]
    assert kept == ["GroupNorm", "LazyBatchNorm1d", "Own"]
    model[1].process_group = None
    model[1](torch.randn(2, 3, 2, 2))
    assert seen == ["hook"]


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, bnlab.BatchNorm2d])
def test_a_converted_layer_computes_the_same(kind):
    layer = kind(3)
    same = bnlab.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(layer))
    assert type(same) is bnlab.SyncBatchNorm
    assert bnlab.compare(same, layer, torch.randn(4, 3, 2, 2))


def test_a_copy_is_complete_and_its_own():
    layer = bnlab.SyncBatchNorm(3, process_group=None)
    layer(torch.randn(4, 3))
    twice = nn.ModuleList([layer, layer])
    copied = copy.deepcopy(twice)
    assert copied[0] is copied[1]
    torch.testing.assert_close(copied.state_dict(), twice.state_dict())
    copied[0](torch.ones(4, 3))
    assert (layer.num_batches_tracked, copied[0].num_batches_tracked) == (1, 2)
    assert isinstance(copied[0].weight, nn.Parameter)


def test_the_tools_know_it():
    model = nn.Sequential(nn.Linear(4, 3), bnlab.SyncBatchNorm(3))
    for to in ("bnlab", "torch"):
        assert type(bnlab.convert(model, to=to)[1]) is bnlab.SyncBatchNorm
    with bnlab.record(model, layers=bnlab.SyncBatchNorm) as recording:
        model(torch.randn(8, 4)).square().sum().backward()
    (call,) = recording.layers["1"]
    assert call.kind == "SyncBatchNorm"
    assert call.output.mean.abs().max() < 1e-6
    frozen = bnlab.freeze(model).train()
    torch.testing.assert_close(frozen(torch.ones(1, 4)), frozen.eval()(torch.ones(1, 4)))


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    mean=st.floats(-1e8, 1e8),
    seed=st.integers(0, 99),
)
def test_parts_give_the_moments_of_the_whole(sizes, mean, seed):
    generator = torch.Generator().manual_seed(seed)
    whole = torch.randn(sum(sizes), 2, generator=generator, dtype=torch.float64) + mean
    parts = [moments(part, 0) for part in whole.split(sizes)]
    size, joint, var = combine_moments(
        torch.tensor(sizes), *(torch.cat(each) for each in zip(*parts, strict=True))
    )
    assert size == len(whole)
    if len(whole) == 0:
        assert joint.tolist() == var.tolist() == [0, 0]
        return
    expected_mean, expected_var = (each.flatten() for each in moments(whole, 0))
    torch.testing.assert_close(joint, expected_mean, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(var, expected_var, rtol=1e-6, atol=1e-12)


def test_the_order_of_the_parts_does_not_matter():
    parts = torch.tensor([2, 0, 5]), torch.randn(3, 4).double(), torch.rand(3, 4).double()
    _, *expected = combine_moments(*parts)
    for order in itertools.permutations(range(3)):
        _, *found = combine_moments(*(part[list(order)] for part in parts))
        torch.testing.assert_close(found, expected)
