import math
from itertools import pairwise

import pytest
import torch
from torch import nn

import bnlab
from bnlab import data, models
from bnlab.data import Dataset, Split
from bnlab.training import History, accuracy, fit


@pytest.fixture(scope="module")
def digits():
    return data.digits(flat=True)


def network(norm=bnlab.BatchNorm1d, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return models.mlp(64, norm)


def toy(train=20, test=6):
    values = data.synthetic((train + test, 3))
    targets = (values[:, 0] > 0).long()
    return Dataset(
        Split(values[:train], targets[:train]), Split(values[train:], targets[train:]), ("0", "1")
    )


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, bnlab.BatchNorm1d])
def test_digits_are_learned(digits, norm):
    history = fit(network(norm), digits, epochs=3, progress=False)
    assert len(history.loss) == 3 * (1347 // 64)
    assert len(history.train_accuracy) == len(history.test_accuracy) == 3
    assert history.test_accuracy[-1] > 0.93
    assert history.loss[-1] < history.loss[0]
    assert history.stopped == ""
    assert history.seconds > 0


def test_the_seed_decides_everything_and_the_global_generator_stays(digits):
    def run(seed, noise):
        torch.manual_seed(noise)
        model = nn.Sequential(network(), nn.Dropout(0.2))
        before = torch.get_rng_state()
        history = fit(model, digits, epochs=1, seed=seed, progress=False)
        assert torch.equal(before, torch.get_rng_state())
        return history.loss, history.test_accuracy

    assert run(0, noise=1) == run(0, noise=2)
    assert run(0, noise=1) != run(1, noise=1)


def test_an_epoch_takes_each_sample_once_in_a_new_order():
    seen = []

    class Watch(nn.Linear):
        def forward(self, input):
            if self.training:
                seen.append(input.detach().clone())
            return super().forward(input)

    toys = toy(train=10)
    fit(Watch(3, 2), toys, epochs=2, batch_size=5, progress=False)
    first, second = torch.cat(seen[:2]), torch.cat(seen[2:])
    assert torch.equal(first[:, 0].sort().values, toys.train.inputs[:, 0].sort().values)
    assert torch.equal(second[:, 0].sort().values, first[:, 0].sort().values)
    assert not torch.equal(first, second)


def test_the_first_step_is_plain_sgd_by_hand():
    toys = toy(train=8)
    model = nn.Linear(3, 2)
    old = model.weight.detach().clone()
    loss = nn.functional.cross_entropy(model(toys.train.inputs), toys.train.targets)
    (gradient,) = torch.autograd.grad(loss, model.weight)
    history = fit(model, toys, epochs=1, batch_size=8, lr=0.3, progress=False)
    assert torch.allclose(model.weight, old - 0.3 * gradient, atol=1e-6)
    assert history.loss == pytest.approx([loss.item()])


def test_an_optimizer_factory_replaces_sgd():
    built = []

    def adam(params):
        built.append(torch.optim.Adam(params, lr=0.01))
        return built[0]

    model = nn.Linear(3, 2)
    fit(model, toy(), epochs=1, optimizer=adam, batch_size=5, progress=False)
    assert built[0].state[model.weight]["step"] == 4


def test_every_batch_is_full():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    sizes = []
    model.register_forward_hook(
        lambda module, _, output: sizes.append(len(output)) if module.training else None
    )
    history = fit(model, toy(train=9), epochs=2, batch_size=4, progress=False)
    assert sizes == [4] * 4
    assert len(history.loss) == model[1].num_batches_tracked == 4
    singles = fit(nn.Linear(3, 2), toy(train=3), epochs=1, batch_size=1, progress=False)
    assert len(singles.loss) == 3


def test_each_module_gets_its_mode_back():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    model.train()
    model[1].eval()
    fit(model, toy(), epochs=1, batch_size=5, progress=False)
    assert [m.training for m in (model, *model)] == [True, True, False]
    model.eval()
    steps = []
    fit(
        model,
        toy(),
        epochs=1,
        batch_size=5,
        progress=False,
        on_step=lambda *_: steps.append(model.training),
    )
    assert steps == [True] * 4
    assert not model.training


def test_accuracy_is_counted_in_eval_mode_and_moves_nothing():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    model[0].running_mean += 5
    split = toy().train
    modes = []
    model[0].register_forward_hook(lambda module, *_: modes.append(module.training))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    share = accuracy(model, split)
    with torch.no_grad():
        expected = (model.eval()(split.inputs).argmax(1) == split.targets).double().mean().item()
    assert share == pytest.approx(expected)
    assert modes[0] is False
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert accuracy(model, split, batch_size=7) == share


def test_an_answer_that_is_no_number_is_wrong():
    split = Split(torch.tensor([[math.nan, 0.0], [1.0, 0.0]]), torch.tensor([0, 0]))
    assert accuracy(nn.Identity(), split) == 0.5


def test_a_diverging_run_stops_with_a_word(digits):
    model = models.mlp(64)
    history = fit(model, digits, lr=1e6, epochs=5, progress=False)
    assert not math.isfinite(history.loss[-1])
    assert all(map(math.isfinite, history.loss[:-1]))
    assert "smaller learning rate" in history.stopped
    assert history.stopped in repr(history)
    assert f"at step {len(history.loss) - 1}:" in history.stopped


def test_on_step_sees_each_loss_in_order():
    seen = []
    history = fit(
        nn.Linear(3, 2),
        toy(),
        epochs=2,
        batch_size=5,
        progress=False,
        on_step=lambda step, loss: seen.append((step, loss)),
    )
    assert seen == list(enumerate(history.loss))


def test_ratios_are_update_over_weight():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    weights = [model[0].weight.detach().clone()]
    history = fit(
        model,
        toy(),
        epochs=1,
        batch_size=5,
        progress=False,
        ratios=True,
        on_step=lambda *_: weights.append(model[0].weight.detach().clone()),
    )
    assert list(history.ratios) == ["0.weight", "2.weight"]
    by_hand = [((new - old).norm() / old.norm()).item() for old, new in pairwise(weights)]
    assert history.ratios["0.weight"] == pytest.approx(by_hand, rel=1e-5)
    assert fit(model, toy(), epochs=1, batch_size=5, progress=False).ratios == {}


def test_the_bar_shows_only_when_asked_for(capfd):
    fit(nn.Linear(3, 2), toy(), epochs=1, batch_size=5, progress=False)
    assert capfd.readouterr() == ("", "")
    # In a terminal; a notebook without its widgets would get a warning, and so an error here.
    fit(nn.Linear(3, 2), toy(), epochs=1, batch_size=5)
    assert "4/4" in capfd.readouterr().err


def test_a_history_reads_in_one_rounded_line():
    history = History([2.3456, 0.1], [0.98765], [0.9], seconds=1.26)
    assert repr(history) == (
        "History(1 epochs, 2 steps; loss 2.346 → 0.100; "
        "accuracy 0.988 (train), 0.900 (test); 1.3 s)"
    )


def with_train(**changes):
    toys = toy()
    kept = {"inputs": toys.train.inputs, "targets": toys.train.targets}
    return Dataset(Split(**(kept | changes)), toys.test, toys.classes)


@pytest.mark.parametrize(
    ("dataset", "options", "message"),
    [
        (with_train(inputs=torch.empty(0, 3)), {}, "data.train is empty: give it"),
        (with_train(targets=torch.zeros(20, 2)), {}, "one class index a sample.*one-hot"),
        (with_train(targets=torch.zeros(20)), {}, "torch.int64"),
        (with_train(targets=torch.zeros(19, dtype=torch.int64)), {}, "20 inputs and 19 targets"),
        (toy(), {"batch_size": 21}, "batch_size is 21.*20 samples"),
        (toy(), {"batch_size": 0}, "batch_size is 0"),
        (toy(), {"batch_size": 5, "epochs": 0}, "at least 1"),
        (Dataset(toy().train, Split(torch.empty(0, 3), torch.empty(0)), ()), {}, "data.test is"),
    ],
)
def test_errors_name_the_fix(dataset, options, message):
    with pytest.raises(ValueError, match=message):
        fit(nn.Linear(3, 2), dataset, progress=False, **options)


def test_a_model_with_nothing_to_train_is_refused():
    model = nn.Linear(3, 2).requires_grad_(False)
    with pytest.raises(ValueError, match="nothing to train"):
        fit(model, toy(), batch_size=5, progress=False)


def test_losses_are_means_over_each_split_in_eval_mode(digits):
    model = network()
    history = fit(model, digits, epochs=2, progress=False)
    assert len(history.train_loss) == len(history.test_loss) == 2
    model.eval()
    for split, losses in ((digits.train, history.train_loss), (digits.test, history.test_loss)):
        with torch.no_grad():
            expected = nn.functional.cross_entropy(model(split.inputs), split.targets).item()
        assert losses[-1] == pytest.approx(expected, rel=1e-5)


def test_a_schedule_moves_on_once_a_step():
    rates = []

    def optimizer(params):
        rates.append(torch.optim.SGD(params, lr=0.1))
        return rates[0]

    def halve(optimizer):
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)

    def note(*_):
        rates.append(rates[0].param_groups[0]["lr"])

    fit(
        nn.Linear(3, 2), toy(), epochs=1, batch_size=5, progress=False,
        optimizer=optimizer, schedule=halve, on_step=note,
    )  # fmt: skip
    assert rates[1:] == pytest.approx([0.05, 0.025, 0.0125, 0.00625])


def test_a_schedule_that_wants_a_measurement_is_refused():
    with pytest.raises(TypeError, match="made a ReduceLROnPlateau: return a scheduler"):
        fit(
            nn.Linear(3, 2), toy(), batch_size=5, progress=False,
            schedule=torch.optim.lr_scheduler.ReduceLROnPlateau,
        )  # fmt: skip
    with pytest.raises(TypeError, match="made a NoneType"):
        fit(nn.Linear(3, 2), toy(), batch_size=5, progress=False, schedule=lambda _: None)


def test_momentum_and_weight_decay_are_torchs():
    toys = toy(train=8)
    model, same = nn.Linear(3, 2), nn.Linear(3, 2)
    same.load_state_dict(model.state_dict())
    settings = {"lr": 0.3, "momentum": 0.5, "weight_decay": 0.1}
    fit(model, toys, epochs=3, batch_size=8, progress=False, **settings)
    fit(
        same, toys, epochs=3, batch_size=8, progress=False,
        optimizer=lambda params: torch.optim.SGD(params, **settings),
    )  # fmt: skip
    assert torch.equal(model.weight, same.weight)


def test_each_step_is_recorded_where_it_is_asked_for():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    options = {"layers": nn.BatchNorm1d, "every": 2}
    history = fit(model, toy(), epochs=2, batch_size=5, progress=False, record=options)
    assert history.recording.steps == len(history.loss) == 8
    steps, spread = history.recording.series("1", "output", "std")
    assert steps == [0, 2, 4, 6]
    assert spread.shape == (4, 4)
    assert fit(model, toy(), epochs=1, batch_size=5, progress=False).recording is None


class Two(nn.Linear):
    def forward(self, input):
        scores = super().forward(input)
        return scores, scores


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(3, 5), r"for 5 samples of 2 classes the model returned shape \(5, 5\): .*, 2\)"),
        (nn.Sequential(nn.Linear(3, 1), nn.Flatten(0)), r"returned shape \(5,\): .*\(5, 2\)"),
        (nn.Sequential(nn.Linear(3, 2), nn.Unflatten(1, (2, 1))), r"shape \(5, 2, 1\)"),
        (Two(3, 2), "the model returned a <class 'tuple'>"),
    ],
)
def test_a_model_of_another_shape_is_refused(model, message):
    with pytest.raises(ValueError, match=message):
        fit(model, toy(), batch_size=5, progress=False)


def test_a_class_that_is_not_there_is_refused():
    toys = toy()
    few = Dataset(toys.train, toys.test, ("one",))
    with pytest.raises(ValueError, match="from 0 to 1: 1 classes are counted from 0 to 0"):
        fit(nn.Linear(3, 1), few, batch_size=5, progress=False)
