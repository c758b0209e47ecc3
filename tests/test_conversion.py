"""Swapping layers: every norm is changed, and nothing else is."""

import copy
import pickle

import pytest
import torch
from torch import nn

import bnlab

NORMS = {
    "BatchNorm1d": ((4,), (3, 4)),
    "BatchNorm2d": ((4,), (3, 4, 2, 2)),
    "BatchNorm3d": ((4,), (3, 4, 2, 2, 2)),
    "InstanceNorm1d": ((4,), (3, 4, 5)),
    "InstanceNorm2d": ((4,), (3, 4, 2, 2)),
    "InstanceNorm3d": ((4,), (3, 4, 2, 2, 2)),
    "LayerNorm": ((4,), (3, 4)),
    "GroupNorm": ((2, 4), (3, 4, 5)),
    "RMSNorm": ((4,), (3, 4)),
}
OTHERS = [
    nn.SyncBatchNorm,
    nn.LazyBatchNorm1d,
    nn.LazyInstanceNorm2d,
    nn.LocalResponseNorm,
    nn.CrossMapLRN2d,
]


class Nested(nn.Module):
    """Norms in every kind of container, among layers that are none."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.stages = nn.ModuleList([nn.GroupNorm(2, 8), nn.InstanceNorm2d(8, affine=True)])
        self.heads = nn.ModuleDict({"norm": nn.LayerNorm(8), "linear": nn.Linear(8, 4)})
        self.last = nn.RMSNorm(4)

    def forward(self, images):
        features = self.first(images)
        for stage in self.stages:
            features = stage(features)
        return self.last(self.heads["linear"](self.heads["norm"](features.mean((2, 3)))))


@pytest.fixture(autouse=True)
def same_numbers_each_time():
    torch.manual_seed(0)


def norms_of(model, library):
    kinds = tuple(getattr(library, name) for name in NORMS)
    return [name for name, module in model.named_modules() if type(module) in kinds]


def train_step(model, batch, optimizer):
    optimizer.zero_grad()
    loss = model(batch).square().mean()
    loss.backward()
    optimizer.step()
    return loss.detach()


@pytest.mark.parametrize("name", NORMS)
def test_a_norm_layer_becomes_ours_and_torchs_again(name):
    arguments, shape = NORMS[name]
    layer = getattr(nn, name)(*arguments)
    batch = torch.randn(shape)
    before, expected = dict(vars(layer)), copy.deepcopy(layer)(batch)
    ours = bnlab.convert(layer)
    assert ours is layer
    assert type(ours) is getattr(bnlab, name)
    assert dict(vars(ours)) == before
    torch.testing.assert_close(copy.deepcopy(ours)(batch), expected)
    assert type(bnlab.convert(ours, to="torch")) is getattr(nn, name)
    assert torch.equal(ours(batch), expected)


@pytest.mark.parametrize("name", NORMS)
def test_our_own_layer_becomes_torchs(name):
    arguments, shape = NORMS[name]
    batch = torch.randn(shape)
    layer = getattr(bnlab, name)(*arguments)
    expected = copy.deepcopy(layer)(batch)
    bnlab.convert(layer, to="torch")
    torch.testing.assert_close(layer(batch), expected)
    assert repr(layer) == repr(getattr(nn, name)(*arguments))


def test_norms_in_every_container_are_found_and_nothing_else_is_touched():
    model = Nested()
    kinds = {name: type(module) for name, module in model.named_modules()}
    names = ["first.1", "stages.0", "stages.1", "heads.norm", "last"]
    assert norms_of(model, nn) == names
    assert bnlab.convert(model) is model
    assert norms_of(model, bnlab) == names
    assert norms_of(model, nn) == []
    after = {name: type(module) for name, module in model.named_modules()}
    assert {name for name in kinds if kinds[name] is not after[name]} == set(names)
    bnlab.convert(model, to="torch")
    assert {name: type(module) for name, module in model.named_modules()} == kinds


def test_a_converted_model_trains_as_before():
    model = Nested().double()
    twin = bnlab.convert(copy.deepcopy(model))
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (model, twin)]
    for _ in range(3):
        batch = torch.randn(4, 3, 8, 8).double()
        losses = [
            train_step(m, batch, optimizer)
            for m, optimizer in zip((model, twin), optimizers, strict=True)
        ]
        torch.testing.assert_close(*losses)
    torch.testing.assert_close(twin.state_dict(), model.state_dict())
    torch.testing.assert_close(twin.eval()(batch), model.eval()(batch))


def test_state_stays_the_very_same_objects():
    model = Nested()
    tensors = [*model.parameters(), *model.buffers()]
    keys = list(model.state_dict())
    for to in ("bnlab", "torch"):
        bnlab.convert(model, to)
        after = [*model.parameters(), *model.buffers()]
        assert all(a is b for a, b in zip(after, tensors, strict=True))
        assert list(model.state_dict()) == keys


def test_an_optimizer_made_before_goes_on_training():
    model = Nested()
    optimizer = torch.optim.Adam(model.parameters())
    train_step(model, torch.randn(4, 3, 8, 8), optimizer)
    bnlab.convert(model)
    before = model.first[1].weight.clone()
    train_step(model, torch.randn(4, 3, 8, 8), optimizer)
    assert optimizer.state[model.first[1].weight]["step"] == 2
    assert not torch.equal(model.first[1].weight, before)


def test_mode_frozen_parameters_and_other_attributes_stay():
    model = Nested().train()
    model.first[1].eval()
    model.first[1].weight.requires_grad_(False)
    model.first[1].remark = "frozen"
    bnlab.convert(model)
    assert not model.first[1].training
    assert model.stages[0].training
    assert not model.first[1].weight.requires_grad
    assert model.first[1].bias.requires_grad
    assert model.first[1].remark == "frozen"


def test_hooks_go_on_and_their_handles_remove_them():
    model = nn.Sequential(nn.BatchNorm1d(3))
    calls = []
    handles = [
        model[0].register_forward_pre_hook(lambda *_: calls.append("before")),
        model[0].register_forward_hook(lambda *_: calls.append("after")),
        model[0].register_full_backward_hook(lambda *_: calls.append("backward")),
        model[0].register_state_dict_pre_hook(lambda *_: calls.append("saved")),
    ]
    bnlab.convert(model)
    model(torch.randn(4, 3, requires_grad=True)).sum().backward()
    model.state_dict()
    assert calls == ["before", "after", "backward", "saved"]
    for handle in handles:
        handle.remove()
    model(torch.randn(4, 3, requires_grad=True)).sum().backward()
    model.state_dict()
    assert len(calls) == 4


def test_a_layer_used_twice_stays_one_layer():
    norm = nn.LayerNorm(4)
    model = nn.Sequential(norm, nn.Linear(4, 4), norm)
    model.alias = norm
    bnlab.convert(model)
    assert model[0] is model[2] is model.alias is norm
    assert type(norm) is bnlab.LayerNorm


def test_tied_weights_stay_tied():
    model = nn.Sequential(nn.LayerNorm(4), nn.LayerNorm(4))
    model[1].weight = model[0].weight
    bnlab.convert(model)
    model(torch.randn(2, 4)).sum().backward()
    assert model[0].weight is model[1].weight
    assert len(list(model.parameters())) == 3


def test_converting_twice_is_converting_once():
    model = bnlab.convert(bnlab.convert(Nested()))
    assert len(norms_of(model, bnlab)) == 5


def test_a_converted_model_is_copied_pickled_and_moved():
    model = bnlab.convert(Nested()).eval()
    batch = torch.randn(2, 3, 8, 8)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert norms_of(twin, bnlab) == norms_of(model, bnlab)
        assert torch.equal(twin(batch), model(batch))
    assert model.double()(batch.double()).dtype == torch.float64


@pytest.mark.parametrize("cls", OTHERS, ids=lambda cls: cls.__name__)
def test_other_layers_of_torchs_stay_as_they_are(cls):
    layer = cls() if "Lazy" in cls.__name__ else cls(4)
    assert type(bnlab.convert(nn.Sequential(layer))[0]) is cls


def test_a_lazy_layer_converts_once_it_has_seen_a_batch():
    model = nn.Sequential(nn.LazyBatchNorm1d())
    model(torch.randn(4, 3))
    assert type(bnlab.convert(model)[0]) is bnlab.BatchNorm1d


def test_subclasses_and_parametrised_layers_stay_as_they_are():
    class Frozen(nn.BatchNorm1d):
        def train(self, mode=True):  # noqa: ARG002
            return super().train(False)

    class Ours(bnlab.LayerNorm):
        pass

    doubled = nn.LayerNorm(3)
    nn.utils.parametrize.register_parametrization(doubled, "weight", nn.Identity())
    model = nn.Sequential(Frozen(3), doubled)
    kinds = [type(layer) for layer in model]
    assert [type(layer) for layer in bnlab.convert(model)] == kinds
    assert type(bnlab.convert(nn.Sequential(Ours(3)), to="torch")[0]) is Ours


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_transformer_encoder_layer_works_in_train_and_eval_mode(norm_first, monkeypatch):
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, norm_first=norm_first)
    batch = torch.randn(2, 5, 8)
    converted = bnlab.convert(copy.deepcopy(layer))
    assert [type(m) for m in (converted.norm1, converted.norm2)] == [bnlab.LayerNorm] * 2
    torch.testing.assert_close(converted(batch), layer(batch))
    converted.eval()
    layer.eval()
    torch.testing.assert_close(converted(batch), layer(batch))
    calls = []
    handle = converted.norm1.register_forward_hook(lambda *_: calls.append("ours"))
    with torch.no_grad():
        torch.testing.assert_close(converted(batch), layer(batch))
        # A hook makes torch leave its kernel and call the layer; without one it does not.
        assert calls == ["ours"]
        handle.remove()
        monkeypatch.setattr(bnlab.LayerNorm, "forward", None)
        torch.testing.assert_close(converted(batch), layer(batch))


def test_a_whole_transformer_converts():
    model = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True)
    source, target = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    expected = model(source, target)
    assert len(norms_of(model, nn)) == 7
    torch.testing.assert_close(bnlab.convert(model)(source, target), expected)
    assert norms_of(model, nn) == []


@pytest.mark.parametrize("to", ["keras", "", None, "Torch"])
def test_another_word_is_refused_before_anything_is_changed(to):
    model = Nested()
    with pytest.raises(ValueError, match='to="bnlab" or to="torch"'):
        bnlab.convert(model, to=to)
    assert norms_of(model, bnlab) == []


def test_what_is_no_module_is_refused():
    for thing in (nn.BatchNorm1d, [nn.BatchNorm1d(3)], nn.BatchNorm1d(3).state_dict()):
        with pytest.raises(TypeError, match="pass the model itself"):
            bnlab.convert(thing)
