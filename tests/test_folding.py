"""Folding changes no answer; where it would, the norm stays and the plan says why."""

import copy
import io
import pickle
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

import bnlab
from bnlab import models
from bnlab.folding import Folded, plan
from bnlab.models.partial import PartlyLinear

KINDS = [f"{kind}{n}d" for kind in ("Conv", "ConvTranspose") for n in (1, 2, 3)]
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}


@pytest.fixture(autouse=True)
def same_numbers_each_time():
    torch.manual_seed(0)


def settle(model):
    """Statistics, gammas and betas as training leaves them; eval mode."""
    for module in model.modules():
        if isinstance(getattr(module, "running_mean", None), torch.Tensor):
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.1, 3.0)
            for parameter in module.parameters():
                nn.init.normal_(parameter)
    return model.eval()


def images(*shape, dtype=torch.float32):
    return torch.randn(*shape or (4, 4, 9, 9), dtype=dtype)


def chain(*layers):
    return settle(nn.Sequential(*layers))


def assert_same_answers(folded, model, batch):
    atol = TOLERANCE[batch.dtype]
    torch.testing.assert_close(folded(batch), model(batch), rtol=atol, atol=atol)


def conv_norm(**settings):
    return chain(nn.Conv2d(4, 6, 3, **settings), nn.BatchNorm2d(6), nn.ReLU())


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("kind", KINDS)
def test_every_convolution_takes_every_norm_in(kind, dtype):
    n = int(kind[-2])
    options = product((1, 2), (True, False), (True, False), (True, False), (nn, bnlab))
    for groups, bias, affine, norm_bias, library in options:
        settings = {"groups": groups, "bias": bias, "stride": 2, "dilation": 2, "padding": 1}
        norm = getattr(library, f"BatchNorm{n}d")(6, affine=affine, bias=norm_bias, eps=0.1)
        model = chain(getattr(nn, kind)(4, 6, 3, **settings), norm).to(dtype)
        batch = images(2, 4, *[7] * n, dtype=dtype)
        folded = bnlab.fold(model, strict=True)
        assert isinstance(folded[1], Folded)
        assert_same_answers(folded, model, batch)
        assert folded[0].weight.dtype == dtype


@pytest.mark.parametrize("library", [nn, bnlab], ids=["torch", "bnlab"])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_linear_layer_takes_a_norm_in(library, dtype):
    for bias, affine in product((True, False), (True, False)):
        model = chain(nn.Linear(4, 6, bias=bias), library.BatchNorm1d(6, affine=affine)).to(dtype)
        assert_same_answers(bnlab.fold(model, strict=True), model, images(5, 4, dtype=dtype))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.SyncBatchNorm, bnlab.SyncBatchNorm])
def test_padding_and_other_classes_of_norm(mode, norm):
    model = chain(nn.Conv2d(4, 6, 3, padding=2, padding_mode=mode), norm(6))
    # torch's SyncBatchNorm answers in eval mode as any batch norm; a twin shows it.
    twin = copy.deepcopy(model)
    twin[1].__class__ = bnlab.BatchNorm2d
    assert_same_answers(bnlab.fold(model, strict=True), twin, images())


def test_parameters_are_those_that_torch_fuses():
    conv = conv_norm().double()
    theirs = fuse_conv_bn_eval(conv[0], conv[1])
    torch.testing.assert_close(bnlab.fold(conv)[0].state_dict(), theirs.state_dict())
    linear = chain(nn.Linear(4, 6), nn.BatchNorm1d(6)).double()
    theirs = fuse_linear_bn_eval(linear[0], linear[1])
    torch.testing.assert_close(bnlab.fold(linear)[0].state_dict(), theirs.state_dict())


@pytest.mark.parametrize(
    ("build", "library"), [(models.resnet18, nn), (models.mobilenet_v2, bnlab)]
)
def test_all_norms_of_published_networks_fold(build, library):
    model = settle(build(library.BatchNorm2d, classes=5)).double()
    for conv in model.modules():
        if isinstance(conv, nn.Conv2d):
            nn.init.kaiming_normal_(conv.weight)
    found = plan(model)
    norms = [name for name, m in model.named_modules() if isinstance(m, library.BatchNorm2d)]
    assert (list(found.folded), found.kept, found.untraced) == (norms, {}, {})
    batch = images(2, 3, 32, 32, dtype=torch.float64)
    assert_same_answers(bnlab.fold(model), model, batch)


def test_the_argument_is_untouched_and_the_class_stays():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn, self.head = (
                nn.Conv2d(4, 6, 3, bias=False),
                nn.BatchNorm2d(6),
                nn.Linear(6, 2),
            )

        def forward(self, values):
            self.last = values
            return self.head(self.bn(self.conv(values)).relu().mean((2, 3)))

    model = settle(Net())
    before, attributes = copy.deepcopy(model.state_dict()), set(vars(model))
    folded = bnlab.fold(model)
    assert set(vars(model)) == attributes
    assert [type(m) for m in model.children()] == [nn.Conv2d, nn.BatchNorm2d, nn.Linear]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert type(folded) is Net
    assert list(folded.state_dict()) == ["conv.weight", "conv.bias", "head.weight", "head.bias"]
    assert not {p.data_ptr() for p in folded.parameters()} & {
        p.data_ptr() for p in model.parameters()
    }
    assert_same_answers(folded, model, images())
    model.last = None
    for twin in (copy.deepcopy(folded), bnlab.fold(folded)):
        assert_same_answers(twin, model, images())
    assert "bn): Folded(into='conv')" in repr(folded)


def test_a_folded_model_is_saved_pickled_and_traced():
    model = conv_norm()
    folded = bnlab.fold(model)
    fresh = bnlab.fold(conv_norm())
    fresh.load_state_dict(folded.state_dict())
    file = io.BytesIO(pickle.dumps(folded))
    twins = fresh, pickle.load(file), torch.fx.symbolic_trace(folded)
    for twin in twins:
        assert_same_answers(twin, model, images())


def test_frozen_norms_and_frozen_weights_fold():
    model = bnlab.freeze(conv_norm()).eval()
    model[0].requires_grad_(False)
    folded = bnlab.fold(model, strict=True)
    assert not any(p.requires_grad for p in folded.parameters())
    assert_same_answers(folded, model, images())


class Kept(nn.Module):
    """A convolution and a norm, and a forward pass given by name."""

    def __init__(self, way):
        super().__init__()
        self.way, self.conv, self.bn = way, nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.both = [self.conv, self.bn]

    def forward(self, values):
        return getattr(self, self.way)(values)

    def output_used(self, values):
        hidden = self.conv(values)
        return self.bn(hidden) + hidden

    def output_returned(self, values):
        hidden = self.conv(values)
        return self.bn(hidden), hidden

    def conv_twice(self, values):
        return self.bn(self.conv(self.conv(values)))

    def norm_twice(self, values):
        return self.bn(self.bn(self.conv(values)))

    def norm_first(self, values):
        return self.conv(self.bn(values))

    def activation(self, values):
        return self.bn(torch.relu(self.conv(values)))

    def reshaped(self, values):
        return self.bn(self.conv(values).transpose(0, 1).contiguous())

    def weight_used(self, values):
        return self.bn(self.conv(values)) * self.conv.weight.norm()

    def statistics_used(self, values):
        return self.bn(self.conv(values)) - self.bn.running_mean.view(1, -1, 1, 1)

    def norm_unused(self, values):
        return self.conv(values)

    # And what folds.
    def pair_twice(self, values):
        return self.bn(self.conv(self.bn(self.conv(values)).relu()))

    def from_list(self, values):
        for layer in self.both:
            values = layer(values)
        return values

    def asks_for_settings(self, values):
        return self.bn(self.conv(values)).view(-1, self.bn.num_features, 81)

    def by_keyword(self, values):
        return self.bn(input=self.conv(input=values))


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("output_used", "the output of conv is also used by add"),
        ("output_returned", "the output of conv is also used by the model's output"),
        ("conv_twice", "the output of conv is also used by conv"),
        ("norm_twice", "its input comes from bn, conv, not from"),
        (
            "norm_first",
            "comes from the input values, not from a linear layer or a convolution; conv after it",
        ),
        ("activation", "its input comes from relu"),
        ("reshaped", "its input comes from contiguous"),
        ("weight_used", "conv: the forward pass also uses its tensors"),
        ("statistics_used", "the forward pass also uses its tensors"),
        ("norm_unused", "no call of it"),
    ],
)
def test_a_norm_stays_where_folding_would_be_wrong(way, words):
    model = settle(Kept(way))
    found = plan(model)
    assert words in found.kept["bn"]
    assert found.folded == {}
    assert f"bn stays: {found.kept['bn']}" in repr(found)
    with pytest.raises(ValueError, match="bn stays, since"):
        bnlab.fold(model, strict=True)
    batch = images()
    torch.testing.assert_close(bnlab.fold(model)(batch), model(batch), rtol=0, atol=0)


@pytest.mark.parametrize("way", ["pair_twice", "from_list", "asks_for_settings", "by_keyword"])
def test_a_pair_folds_wherever_it_is_called(way):
    model = settle(Kept(way))
    assert_same_answers(bnlab.fold(model, strict=True), model, images())


def hooked():
    model = conv_norm()
    model[0].register_forward_hook(lambda *_: None)
    return model


def parametrised():
    model = conv_norm()
    nn.utils.parametrizations.weight_norm(model[0])
    return model.eval()


def partly_linear():
    return PartlyLinear(nn.Linear(4, 6), torch.ones(6, 4) > 0)


class Louder(nn.BatchNorm2d):
    def forward(self, input):
        return 2 * super().forward(input)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (chain(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.BatchNorm2d(6)), "comes from 1, not from"),
        (chain(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6, track_running_stats=False)), "no running"),
        (chain(nn.Conv2d(4, 6, 3), Louder(6)), "it is a Louder"),
        (chain(nn.Conv2d(4, 6, 3), nn.InstanceNorm2d(6), nn.BatchNorm2d(6)), "comes from 1"),
        (chain(nn.Linear(9, 4), nn.BatchNorm2d(4)), "channel for channel"),
        (chain(nn.Linear(9, 9), nn.BatchNorm1d(4)), "channel for channel"),
        (chain(partly_linear(), nn.BatchNorm1d(6)), "a PartlyLinear, which may do more"),
        (hooked(), "0: hooks look"),
        (parametrised(), "remove the parametrisation"),
    ],
)  # fmt: skip
def test_layers_that_do_not_fold(model, words):
    found = plan(model)
    assert not found.folded
    assert any(words in reason for reason in found.kept.values())
    assert [type(layer) for layer in bnlab.fold(model)] == [type(layer) for layer in model]


@pytest.mark.parametrize("var", [-0.5, torch.nan, torch.inf])
def test_bad_statistics_stay_visible(var):
    model = conv_norm()
    model[1].running_var[2] = var
    found = plan(model).kept
    assert ("1" in found) == (var != torch.inf)


def test_half_precision_folds_where_it_fits():
    model = conv_norm().half()
    assert bnlab.fold(model, strict=True)[0].weight.dtype == torch.float16
    model[1].weight.data.fill_(6e4)
    model[1].running_var.fill_(1e-4)
    assert "not finite" in plan(model).kept["1"]


def test_input_that_the_norm_would_read_otherwise_is_refused():
    """A linear layer's features are last, BatchNorm1d's channels second."""
    folded = bnlab.fold(chain(nn.Linear(5, 4), nn.BatchNorm1d(4)))
    with pytest.raises(AssertionError, match="took input of 2 dimensions"):
        folded(torch.randn(3, 4, 5))


class Winding(nn.Module):
    """Which way the data go depends on them, so it cannot be traced; its block can."""

    def __init__(self, block):
        super().__init__()
        self.block, self.conv, self.bn = block, nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6)

    def forward(self, values):
        values = self.block(values)
        hidden = self.conv(values)
        return self.bn(hidden) if values.sum() > 0 else hidden


def test_what_cannot_be_traced_is_a_box_and_its_parts_fold():
    inner = Winding(conv_norm())
    model = settle(
        nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), inner, nn.Conv2d(6, 6, 1), nn.BatchNorm2d(6)
        )
    )
    found = plan(model)
    assert found.folded == {"1": "0", "4": "3", "2.block.1": "2.block.0"}
    assert found.kept == {"2.bn": "no call of it was found in what could be traced"}
    assert list(found.untraced) == ["2"]
    assert "2 could not be traced (TraceError: " in repr(found)
    batch = images(3, 3, 9, 9)
    with pytest.warns(UserWarning, match="could not follow the forward pass of 2. It is taken"):
        folded = bnlab.fold(model)
    for sign in (1, -1):
        assert_same_answers(folded, model, sign * batch)


def test_a_layer_with_two_names_stays_where_not_all_can_be_traced():
    block = conv_norm()
    model = Winding(block)
    model.again = block[0]
    found = plan(settle(model))
    assert "two names" in found.kept["block.1"]


def test_a_network_in_a_wrapper_of_torchs_folds():
    model = nn.ModuleDict({"net": nn.ModuleList([conv_norm()])}).eval()
    found = plan(model)
    assert found.folded == {"net.0.1": "net.0.0"}
    assert list(found.untraced) == ["model", "net"]


def test_train_mode_is_refused_by_name():
    model = conv_norm()
    model[1].train()
    for function in (bnlab.fold, plan):
        with pytest.raises(ValueError, match=r"call model\.eval\(\); in train mode are 1$"):
            function(model)
    with pytest.raises(ValueError, match="model, conv, norm, relu, flatten and 1 more"):
        bnlab.fold(models.conv_net(nn.BatchNorm2d))


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match="pass the model itself"):
        bnlab.fold([nn.BatchNorm1d(3)])


def test_planning_draws_no_random_numbers():
    class Noisy(nn.Sequential):
        def forward(self, values):
            return super().forward(values + torch.rand(1))

    model = settle(Noisy(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)))
    state = torch.get_rng_state()
    assert plan(model).folded == {"1": "0"}
    assert torch.equal(torch.get_rng_state(), state)
