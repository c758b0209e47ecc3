import copy

import pytest
import torch
from torch import nn

import bnlab
from bnlab import data, models
from bnlab.recording import record
from bnlab.training import fit


def small(inplace=False):
    return nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(inplace=inplace),
        nn.Flatten(),
        nn.Linear(12, 2),
    )


def pictures():
    return data.synthetic((5, 2, 4, 4), mean=(1.0, -2.0), std=(1.0, 3.0))


def hooks(model):
    return sum(
        len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
        for m in model.modules()
    )


@pytest.mark.parametrize("shape", [(6, 3), (6, 3, 4), (6, 3, 4, 5), (6, 3, 4, 5, 2)])
def test_statistics_are_those_of_each_channel(shape):
    model = nn.Sequential(nn.ReLU())
    values = data.synthetic(shape, mean=(0.0, 1.0, -1.0))
    shares = (0.15, 0.5, 0.85)
    with record(model, quantiles=shares, bins=7) as recording:
        model(values)
    (call,) = recording.layers["0"]
    assert (call.step, call.layer, call.kind, call.gradient) == (0, "0", "ReLU", None)
    for seen, tensor in ((call.input, values), (call.output, values.relu())):
        rows = tensor.transpose(0, 1).flatten(1)
        assert torch.allclose(seen.mean, rows.mean(1), atol=1e-6)
        assert torch.allclose(seen.std, rows.std(1, correction=0), atol=1e-6)
        assert torch.equal(seen.minimum, rows.amin(1))
        assert torch.equal(seen.maximum, rows.amax(1))
        assert torch.allclose(seen.zeros, (rows == 0).float().mean(1))
        assert seen.count == rows.shape[1]
        assert torch.allclose(seen.quantiles, rows.quantile(torch.tensor(shares), dim=1), atol=1e-6)
        for channel, row in enumerate(rows):
            counts = torch.histogram(row, bins=seen.edges).hist
            assert torch.equal(seen.histogram[:, channel].float(), counts)


def test_what_is_not_asked_for_is_not_there():
    model = small()
    with record(model, parts=("output",)) as recording:
        model(pictures()).sum().backward()
    call = recording.layers["0"][0]
    assert call.input is None
    assert call.gradient is None
    assert call.output.quantiles is call.output.histogram is call.output.edges is None


def test_two_passes_hold_where_the_shortcut_breaks():
    model = nn.Sequential(nn.Identity())
    with record(model) as recording:
        model(data.synthetic((1000, 1), mean=1e4, std=0.1))
    assert recording.layers["0"][0].output.std.item() == pytest.approx(0.1, rel=0.05)


@pytest.mark.parametrize("inplace", [False, True])
def test_gradients_are_those_of_the_loss_by_the_output(inplace):
    model = small(inplace)
    with record(model) as recording:
        model(pictures()).square().sum().backward()
    reference = copy.deepcopy(model)
    reference[2].inplace = False
    flow, outputs = pictures(), []
    for layer in reference:
        flow = layer(flow)
        flow.retain_grad()
        outputs.append(flow)
    flow.square().sum().backward()
    for number, output in enumerate(outputs):
        call = recording.layers[str(number)][0]
        others = [d for d in range(output.dim()) if d != 1]
        for seen, tensor in ((call.output, output), (call.gradient, output.grad)):
            assert torch.allclose(seen.mean, tensor.detach().mean(others), atol=1e-5), number
            assert torch.allclose(seen.minimum, tensor.detach().amin(others), atol=1e-5), number


def test_an_input_is_seen_before_an_in_place_layer_overwrites_it():
    model = nn.Sequential(nn.ReLU(inplace=True))
    with record(model) as recording:
        model(torch.tensor([[-1.0], [3.0]]))
    (call,) = recording.layers["0"]
    assert call.input.minimum.item() == -1
    assert call.output.minimum.item() == 0


def test_without_grad_there_is_no_gradient_and_no_error():
    model = small()
    with record(model) as recording, torch.no_grad():
        model(pictures())
    assert all(calls[0].gradient is None for calls in recording.layers.values())
    with record(model) as recording, torch.inference_mode():
        model(pictures())
    assert recording.layers["1"][0].output.count == 5 * 2 * 2


def test_a_shared_layer_is_seen_at_each_call_with_its_own_gradient():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 2, bias=False)

        def forward(self, input):
            return self.linear(3 * self.linear(input))

    model = Twice()
    nn.init.eye_(model.linear.weight)
    with record(model) as recording:
        model(torch.ones(4, 2)).sum().backward()
    first, second = recording.layers["linear"]
    assert first.step == second.step == 0
    assert first.input.mean.tolist() == [1, 1]
    assert second.input.mean.tolist() == [3, 3]
    assert first.gradient.mean.tolist() == [3, 3]
    assert second.gradient.mean.tolist() == [1, 1]


def test_what_is_no_tensor_with_channels_is_none():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.lstm = nn.Embedding(5, 4), nn.LSTM(4, 3, batch_first=True)

        def forward(self, input):
            output, _ = self.lstm(self.words(input))
            return output.sum()

    model = Odd()
    with record(model) as recording:
        model(torch.zeros(2, 6, dtype=torch.int64)).backward()
    assert recording.layers["words"][0].input is None
    assert recording.layers["words"][0].gradient is not None
    assert recording.layers["lstm"][0].output is None
    assert recording.layers["lstm"][0].gradient is None


def test_hooks_are_gone_afterwards_and_after_an_exception():
    model = small()
    with record(model) as recording:
        assert hooks(model) > 0
        output = model(pictures())
    assert hooks(model) == 0
    model(pictures()).sum().backward()
    output.sum().backward()  # started inside, ends outside: the recording is closed
    assert recording.steps == 1
    assert recording.layers["0"][0].gradient is None
    with pytest.raises(RuntimeError), record(model):
        model(torch.zeros(1, 7, 4, 4))
    assert hooks(model) == 0


def test_a_failed_pass_inside_does_not_end_the_recording():
    model = small()
    with record(model) as recording:
        with pytest.raises(RuntimeError):
            model(torch.zeros(1, 7, 4, 4))
        model[0](pictures())  # one layer alone is no step of the model
        model(pictures())
    assert [call.step for call in recording.layers["0"]] == [1]


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, bnlab.BatchNorm1d])
def test_training_is_the_same_bit_for_bit(norm):
    digits = data.digits(flat=True)

    def run(recorded):
        torch.manual_seed(0)
        model = nn.Sequential(models.mlp(64, norm), nn.Dropout(0.1))
        options = {"epochs": 1, "progress": False}
        if recorded:
            with record(model, quantiles=(0.5,), bins=5):
                history = fit(model, digits, **options)
        else:
            history = fit(model, digits, **options)
        return history, model.state_dict(), torch.get_rng_state()

    plain, recorded = run(False), run(True)
    assert plain[0].loss == recorded[0].loss
    assert plain[0].test_accuracy == recorded[0].test_accuracy
    assert all(torch.equal(value, recorded[1][name]) for name, value in plain[1].items())
    assert torch.equal(plain[2], recorded[2])


def test_steps_are_those_of_the_history_and_evaluation_is_left_out():
    model = models.mlp(64, nn.BatchNorm1d)
    with record(model, layers=nn.BatchNorm1d, every=5) as recording:
        history = fit(model, data.digits(flat=True), epochs=2, progress=False)
    assert recording.steps == len(history.loss) == 42
    assert [call.step for call in recording.layers["norm1"]] == list(range(0, 42, 5))
    assert all(call.gradient is not None for call in recording.layers["norm1"])


def test_the_mode_to_record_is_the_models_or_the_chosen_one():
    model = small().eval()
    with record(model) as own, record(model, training=True) as chosen:
        model(pictures())
        model.train()
        model(pictures())
    assert own.steps == chosen.steps == 1
    assert own.layers["1"][0].output.mean.abs().max() > 1e-3
    assert chosen.layers["1"][0].output.mean.abs().max() < 1e-5


@pytest.mark.parametrize("keep", [1, 2, 5, 8])
def test_memory_is_bounded_and_the_whole_training_spanned(keep):
    model = nn.Sequential(nn.Linear(2, 2))
    with record(model, keep=keep) as recording:
        for step in range(100):
            model(torch.full((2, 2), float(step))).sum().backward()
            assert len(recording.layers["0"]) <= keep
    calls = recording.layers["0"]
    assert [call.step for call in calls] == list(range(0, 100, recording.every))
    assert len(calls) > keep / 2 or keep == 1
    assert [call.input.mean[0].item() for call in calls] == [call.step for call in calls]
    assert all(call.gradient is not None for call in calls)


def test_gradients_reach_the_right_call_over_several_passes():
    model = nn.Sequential(nn.Linear(2, 2))
    with record(model) as recording:
        losses = [model(torch.ones(2, 2)).sum() * scale for scale in (1, 2, 3)]
        sum(losses).backward()
    assert [call.gradient.mean[0].item() for call in recording.layers["0"]] == [1, 2, 3]


def test_layers_are_chosen_by_type_types_or_names():
    model = nn.Sequential(small(), nn.Linear(2, 2))
    chosen = {
        nn.Linear: ["0.4", "1"],
        (nn.ReLU, nn.BatchNorm2d): ["0.1", "0.2"],
        ("1", "0"): ["0", "1"],
        None: ["0.0", "0.1", "0.2", "0.3", "0.4", "1"],
    }
    for layers, names in chosen.items():
        with record(model, layers=layers) as recording:
            model(pictures())
        assert sorted(recording.layers) == names
        assert all(len(calls) == 1 for calls in recording.layers.values())


def test_a_single_layer_is_recorded_under_its_class():
    model = nn.Linear(2, 3)
    with record(model) as recording:
        model(torch.ones(4, 2)).sum().backward()
    assert recording.layers["Linear"][0].gradient.mean.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["0", "nowhere"]}, "nowhere.*it has Sequential, 0, 1"),
        ({"layers": nn.LSTM}, "is not in the model"),
        ({"layers": "0"}, r"write \['0'\]"),
        ({"every": 0}, "every and keep are at least 1"),
        ({"keep": 0}, "every and keep are at least 1"),
        ({"quantiles": (15, 50)}, "between 0 and 1"),
        ({"parts": ("outputs",)}, "parts are 'input', 'output' and 'gradient'"),
    ],
)
def test_errors_name_the_fix(options, message):
    model = small()
    with pytest.raises(ValueError, match=message), record(model, **options):
        pass
    assert hooks(model) == 0


def test_a_series_stacks_one_statistic_over_training():
    model = models.deep_mlp(depth=3, norm=bnlab.BatchNorm1d)
    with record(model, layers=nn.Sigmoid, quantiles=(0.15, 0.5, 0.85), every=4) as recording:
        fit(model, data.digits(flat=True), epochs=1, batch_size=60, progress=False)
    steps, percentiles = recording.series("activation3", "input", "quantiles")
    assert steps == [0, 4, 8, 12, 16, 20]
    assert percentiles.shape == (6, 3, 100)
    assert (percentiles[:, 0] <= percentiles[:, 1]).all()
    assert (percentiles[:, 1] <= percentiles[:, 2]).all()
    with pytest.raises(ValueError, match="recorded are activation1, activation2, activation3"):
        recording.series("activation9", "input", "mean")
    with pytest.raises(ValueError, match="bins"):
        recording.series("activation3", "input", "histogram")


def test_constant_and_broken_values_are_recorded_as_they_are():
    model = nn.Sequential(nn.Identity())
    nan = float("nan")
    with record(model, bins=4, quantiles=(0.5,)) as recording:
        model(torch.ones(3, 2))
        model(torch.tensor([[nan, 1.0], [1.0, 2.0]]))
        model(torch.empty(0, 2))
    constant, broken, empty = (call.output for call in recording.layers["0"])
    assert constant.histogram.sum(0).tolist() == [3, 3]
    assert constant.edges[0] < 1 < constant.edges[-1]
    assert broken.mean.isnan().tolist() == [True, False]
    assert broken.histogram.sum(0).tolist() == [1, 2]
    assert empty is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(dtype):
    model = nn.Sequential(nn.Identity())
    with record(model, bins=3, quantiles=(0.5,)) as recording:
        model(torch.tensor([[1.0], [2.0], [6.0]], dtype=dtype))
    (call,) = recording.layers["0"]
    assert call.output.mean.item() == 3
    assert call.output.quantiles.item() == 2
    assert call.output.histogram.flatten().tolist() == [2, 0, 1]


def test_statistics_are_detached_and_the_recording_reads_well():
    model = small()
    with record(model, layers=nn.BatchNorm2d) as recording:
        model(pictures()).sum().backward()
    (call,) = recording.layers["1"]
    assert not call.output.mean.requires_grad
    assert repr(recording) == "Recording(1 layers, 1 steps, every 1)\n  1: 1 calls, BatchNorm2d"
    assert repr(call.output).startswith("ChannelStatistics(3 channels of 20: mean ")
    with pytest.raises(AttributeError):
        call.step = 3
