"""BatchNorm1d, 2d and 3d beside torch's: the same numbers, then a checklist of behaviours."""

import copy
import inspect
import io
import itertools
import pickle

import pytest
import torch
from torch import nn

import bnlab

PAIRS = [(getattr(bnlab, f"BatchNorm{d}d"), getattr(nn, f"BatchNorm{d}d")) for d in (1, 2, 3)]
LAYOUTS = {
    "NC": ((8, 3), torch.contiguous_format),
    "NCL": ((4, 3, 5), torch.contiguous_format),
    "NCHW": ((4, 3, 5, 2), torch.contiguous_format),
    "NHWC": ((4, 3, 5, 2), torch.channels_last),
    "NCDHW": ((2, 3, 4, 2, 3), torch.contiguous_format),
    "NDHWC": ((2, 3, 4, 2, 3), torch.channels_last_3d),
}
# As a share of the largest reference value; half precision differs by its last bits only.
TOLERANCES = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 2e-2, torch.float16: 2e-3}


def pair_for(shape, **options):
    ours, theirs = (cls(shape[1], **options) for cls in PAIRS[max(len(shape) - 3, 0)])
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in theirs.state_dict().items():
            if name != "num_batches_tracked":
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    return ours, theirs


def assert_close(ours, theirs, tolerance):
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    scale = max(theirs.abs().max().item(), 1.0)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=lambda dtype: str(dtype).removeprefix("torch."))
@pytest.mark.parametrize(("shape", "layout"), LAYOUTS.values(), ids=LAYOUTS.keys())
@pytest.mark.parametrize("momentum", [0.1, 0.5, 1.0, 0, None], ids=lambda m: f"momentum={m}")
@pytest.mark.parametrize("track", [True, False], ids=["tracking", "untracked"])
@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_parity(training, affine, track, momentum, shape, layout, dtype):
    options = {"affine": affine, "track_running_stats": track, "momentum": momentum, "dtype": dtype}
    ours, theirs = (layer.train(training) for layer in pair_for(shape, **options))
    generator = torch.Generator().manual_seed(0)
    tolerance = TOLERANCES[dtype]
    for step in range(3):
        values = torch.randn(shape, generator=generator) * (step + 1) + step
        values = values.to(dtype, memory_format=layout)
        upstream = torch.randn(shape, generator=generator).to(dtype)
        mine, yours = (values.clone().requires_grad_() for _ in range(2))
        output, expected = ours(mine), theirs(yours)
        assert_close(output, expected, tolerance)
        assert output.stride() == expected.stride()
        ours.zero_grad()
        theirs.zero_grad()
        output.backward(upstream)
        expected.backward(upstream)
        assert_close(mine.grad, yours.grad, tolerance)
        assert mine.grad.stride() == yours.grad.stride()
        for (name, parameter), reference in zip(
            ours.named_parameters(), theirs.parameters(), strict=True
        ):
            assert name in ("weight", "bias")
            assert_close(parameter.grad, reference.grad, tolerance)
    state, reference = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(reference)
    for name in state:
        assert_close(state[name], reference[name], tolerance)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_input_with_float32_state(dtype, training):
    ours, theirs = (layer.train(training) for layer in pair_for((4, 3, 5, 2)))
    batch = torch.randn(4, 3, 5, 2).to(dtype)
    assert_close(ours(batch), theirs(batch), TOLERANCES[dtype])
    assert ours.running_mean.dtype == torch.float32
    assert_close(ours.running_var, theirs.running_var, 1e-5)


@pytest.fixture(params=PAIRS, ids=["1d", "2d", "3d"])
def pair(request):
    return request.param


@pytest.fixture
def ours(pair):
    return pair[0]


@pytest.fixture
def theirs(pair):
    return pair[1]


class TestChecklist:
    def batch(self, layer, n=4, c=3):
        return torch.randn(n, c, *[2] * (len(layer._shapes[-1]) - 2)) * 3 + 1

    def test_constructor_has_the_same_arguments_and_defaults(self, ours, theirs):
        def arguments(cls):
            return [(p.name, p.kind, p.default) for p in inspect.signature(cls).parameters.values()]

        assert arguments(ours) == arguments(theirs)

    def test_repr_is_the_same(self, ours, theirs):
        for affine, track, bias, momentum in itertools.product(
            (True, False), (True, False), (True, False), (0.3, None)
        ):
            options = {"affine": affine, "track_running_stats": track, "bias": bias}
            assert repr(ours(3, 1e-3, momentum, **options)) == repr(
                theirs(3, 1e-3, momentum, **options)
            )

    def test_starts_as_the_identity_of_a_standard_normal(self, ours, theirs):
        state, reference = ours(3).state_dict(), theirs(3).state_dict()
        assert list(state) == list(reference)
        assert all(torch.equal(state[name], reference[name]) for name in state)
        assert all(state[name].dtype == reference[name].dtype for name in state)

    def test_parameters_train_and_buffers_do_not(self, ours, theirs):
        assert [n for n, _ in ours(3).named_parameters()] == ["weight", "bias"]
        assert [n for n, _ in ours(3).named_buffers()] == [n for n, _ in theirs(3).named_buffers()]
        assert all(p.requires_grad for p in ours(3).parameters())

    def test_reset_parameters_forgets_all(self, ours, theirs):
        layer = ours(3)
        layer(self.batch(layer))
        with torch.no_grad():
            layer.weight.fill_(5)
            layer.bias.fill_(5)
        layer.reset_parameters()
        fresh = theirs(3).state_dict()
        assert all(torch.equal(value, fresh[name]) for name, value in layer.state_dict().items())

    def test_reset_running_stats_keeps_the_parameters(self, ours):
        layer = ours(3)
        nn.init.constant_(layer.weight, 5)
        layer(self.batch(layer))
        layer.reset_running_stats()
        assert torch.equal(layer.running_mean, torch.zeros(3))
        assert torch.equal(layer.running_var, torch.ones(3))
        assert layer.num_batches_tracked == 0
        assert torch.equal(layer.weight, torch.full((3,), 5.0))

    def test_momentum_none_averages_all_batches(self, ours):
        layer = ours(3, momentum=None).double()
        batches = [self.batch(layer).double() for _ in range(4)]
        for batch in batches:
            layer(batch)
        means = torch.stack([b.transpose(0, 1).flatten(1).mean(1) for b in batches])
        torch.testing.assert_close(layer.running_mean, means.mean(0))

    def test_affine_false_has_no_parameters(self, ours):
        layer = ours(3, affine=False)
        assert layer.weight is None
        assert layer.bias is None
        assert list(layer.parameters()) == []

    def test_bias_false_has_a_weight_only(self, ours, theirs):
        layer = ours(3, bias=False)
        assert layer.bias is None
        batch = self.batch(layer)
        torch.testing.assert_close(layer(batch), theirs(3, bias=False)(batch))

    def test_untracked_uses_the_batch_in_eval_mode_too(self, ours):
        layer = ours(3, track_running_stats=False)
        assert list(layer.buffers()) == []
        batch = self.batch(layer)
        assert torch.equal(layer.train()(batch), layer.eval()(batch))

    def test_tracking_switched_off_later_leaves_the_statistics(self, ours, theirs):
        for cls in (ours, theirs):
            layer = cls(3)
            layer.track_running_stats = False
            layer(torch.randn(4, 3, *[2] * (len(ours._shapes[-1]) - 2)))
            assert torch.equal(layer.running_mean, torch.zeros(3))
            assert layer.num_batches_tracked == 0

    def test_train_mode_moves_the_statistics_even_without_grad(self, ours):
        layer = ours(3)
        with torch.no_grad():
            layer(self.batch(layer))
        assert not torch.equal(layer.running_mean, torch.zeros(3))
        assert layer.num_batches_tracked == 1

    def test_eval_mode_leaves_the_statistics_and_treats_samples_alone(self, ours):
        layer = ours(3).eval()
        batch = self.batch(layer)
        before = copy.deepcopy(layer.state_dict())
        torch.testing.assert_close(layer(batch)[:1], layer(batch[:1]))
        assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())

    def test_statistics_stay_out_of_the_graph(self, ours):
        layer = ours(3)
        layer(self.batch(layer).requires_grad_())
        assert not layer.running_mean.requires_grad
        assert not layer.running_var.requires_grad

    @pytest.mark.parametrize("dimensions", range(7))
    def test_wrong_dimension_raises_what_torch_raises(self, ours, theirs, dimensions):
        batch = torch.randn([4, 3, 2, 2, 2, 2][:dimensions])
        if dimensions in map(len, ours._shapes):
            assert ours(3)(batch).shape == batch.shape
            return
        with pytest.raises(ValueError, match=r"expected .*D input \(got ") as expected:
            theirs(3)(batch)
        with pytest.raises(ValueError, match="yours has shape") as error:
            ours(3)(batch)
        assert str(error.value).startswith(str(expected.value))

    def test_one_value_per_channel_raises_what_torch_raises(self, ours, theirs):
        for dimensions in map(len, ours._shapes):
            batch = torch.randn(1, 3, *[1] * (dimensions - 2))
            with pytest.raises(ValueError, match="Expected more than 1 value") as expected:
                theirs(3)(batch)
            with pytest.raises(ValueError, match="eval mode") as error:
                ours(3)(batch)
            assert str(error.value).startswith(str(expected.value))
            assert torch.allclose(ours(3).eval()(batch), theirs(3).eval()(batch))

    @pytest.mark.parametrize("training", [True, False])
    def test_wrong_channel_count_raises_what_torch_raises(self, ours, theirs, training):
        for cls in (theirs, ours):
            batch = torch.randn(4, 5, *[2] * (len(ours._shapes[-1]) - 2))
            with pytest.raises(RuntimeError, match="running_mean should contain 5 elements"):
                cls(3).train(training)(batch)

    def test_state_dicts_load_both_ways(self, ours, theirs):
        mine, yours = ours(3), theirs(3)
        mine(self.batch(mine))
        yours.load_state_dict(mine.state_dict(), strict=True)
        back = ours(3)
        back.load_state_dict(yours.state_dict(), strict=True)
        assert all(torch.equal(v, back.state_dict()[k]) for k, v in mine.state_dict().items())
        assert mine.state_dict()._metadata == yours.state_dict()._metadata

    def test_version_1_dict_without_counter_loads(self, ours, theirs):
        for cls in (theirs, ours):
            state = theirs(3).state_dict()
            del state["num_batches_tracked"]
            state._metadata[""]["version"] = 1
            layer = cls(3)
            layer.num_batches_tracked.fill_(7)
            layer.load_state_dict(state, strict=True)
            assert layer.num_batches_tracked == 7

    def test_version_2_dict_without_counter_is_refused(self, ours, theirs):
        state = theirs(3).state_dict()
        del state["num_batches_tracked"]
        with pytest.raises(RuntimeError, match="num_batches_tracked"):
            ours(3).load_state_dict(state, strict=True)

    def test_version_1_dict_materialises_a_meta_layer(self, ours, theirs):
        state = theirs(3).state_dict()
        del state["num_batches_tracked"]
        state._metadata[""]["version"] = 1
        layer = ours(3, device="meta")
        layer.load_state_dict(state, strict=True, assign=True)
        assert layer.num_batches_tracked == 0

    def test_copies_and_pickles(self, ours):
        layer = ours(3)
        layer(self.batch(layer))
        file = io.BytesIO()
        torch.save(layer, file)
        file.seek(0)
        for twin in (
            copy.deepcopy(layer),
            pickle.loads(pickle.dumps(layer)),
            torch.load(file, weights_only=False),
        ):
            assert repr(twin) == repr(layer)
            batch = self.batch(layer)
            assert torch.equal(twin.eval()(batch), layer.eval()(batch))
            twin.running_mean.zero_()
            assert not torch.equal(twin.running_mean, layer.running_mean)
            layer.train()

    def test_moves_to_a_dtype_but_counts_in_integers(self, ours, theirs):
        for dtype in (torch.float64, torch.float16):
            mine, yours = ours(3).to(dtype), theirs(3).to(dtype)
            assert {k: v.dtype for k, v in mine.state_dict().items()} == {
                k: v.dtype for k, v in yours.state_dict().items()
            }

    def test_builds_on_the_meta_device(self, ours):
        layer = ours(3, device="meta", dtype=torch.bfloat16)
        assert all(tensor.is_meta for tensor in layer.state_dict().values())
        assert layer.weight.dtype == torch.bfloat16
        assert layer.num_batches_tracked.dtype == torch.int64
        batch = self.batch(layer).to("meta", torch.bfloat16)
        assert layer(batch).shape == batch.shape

    def test_functional_call(self, ours, theirs):
        layer = ours(3)
        batch = self.batch(layer)
        state = {name: value.clone() for name, value in theirs(3).state_dict().items()}
        state["weight"].fill_(2)
        output = torch.func.functional_call(layer, state, (batch,))
        torch.testing.assert_close(output, 2 * layer(batch))
        assert state["num_batches_tracked"] == 1
        assert layer.num_batches_tracked == 1

    def test_takes_an_empty_batch_and_learns_nothing_from_it(self, ours):
        for track, training in itertools.product((True, False), (True, False)):
            layer = ours(3, track_running_stats=track).train(training)
            empty = self.batch(layer, n=0).requires_grad_()
            output = layer(empty)
            output.sum().backward()
            assert output.shape == empty.shape
            assert torch.equal(layer.weight.grad, torch.zeros(3))
            if track:
                assert torch.equal(layer.running_mean, torch.zeros(3))
                assert layer.num_batches_tracked == int(training)

    def test_gradients_pass_gradcheck(self, ours):
        for training in (True, False):
            layer = ours(2).double().train(training)
            batch = self.batch(layer, n=3, c=2).double().requires_grad_()
            torch.autograd.gradcheck(lambda x, layer=layer, **_: layer(x), (batch,), fast_mode=True)
            torch.autograd.gradgradcheck(
                lambda x, layer=layer, **_: layer(x), (batch,), fast_mode=True
            )

    def test_layout_is_torchs_for_views_too(self, ours, theirs):
        for dimensions in map(len, ours._shapes):
            batch = torch.randn([3, 4, 5, 6, 7][:dimensions]).transpose(0, 1)
            batch = batch if dimensions == 2 else batch.transpose(-1, 1)
            channels = batch.shape[1]
            expected = theirs(channels)(batch)
            assert ours(channels)(batch).stride() == expected.stride()
