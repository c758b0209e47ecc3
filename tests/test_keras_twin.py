"""The same network in Keras and in torch: weights carried over, a step taken, what stays different.

Keras is the real one, on torch; it is imported once for the whole file.
"""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn

import bnlab
from bnlab import data, models
from bnlab.keras_twin import carry_over, keras_mlp, load_keras

BATCH = 64


@pytest.fixture(scope="module")
def keras():
    return load_keras()


@pytest.fixture(scope="module")
def digits():
    return data.digits(flat=True)


def used(norm=bnlab.BatchNorm1d, seed=0, **settings):
    """Our network with every number away from its start, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = models.mlp(64, lambda features: norm(features, **settings))
        for layer in (model.norm1, model.norm2):
            layer.weight.data.uniform_(-2, 2)
            layer.bias.data.normal_()
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.01, 3)
    return model.eval()


def inputs(seed=0):
    return torch.rand(32, 64, generator=torch.Generator().manual_seed(seed))


def weights(model):
    """By name, in torch's layout; read here without the code that carries them."""
    if isinstance(model, nn.Sequential):
        return {k: v for k, v in model.state_dict().items() if not k.endswith("tracked")}
    names = {"kernel": "weight", "gamma": "weight", "beta": "bias"}
    names |= {"bias": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    found = {}
    for layer in model.layers:
        for each in layer.weights:
            values = each.value.detach()
            values = values.T if each.name == "kernel" else values
            found[f"{layer.name}.{names[each.name]}"] = values.clone()
    return found


def same(one, other, **tolerance):
    one, other = weights(one), weights(other)
    assert one.keys() == other.keys()
    return {name: torch.allclose(one[name], other[name], **tolerance) for name in one}


@pytest.mark.parametrize("norm", [bnlab.BatchNorm1d, nn.BatchNorm1d])
@pytest.mark.parametrize("settings", [{}, {"eps": 1e-2, "momentum": 0.3}])
def test_keras_answers_as_torch_does(norm, settings):
    ours, theirs = used(norm, **settings), keras_mlp(64)
    carry_over(ours, theirs)
    expected = ours(inputs()).softmax(1)
    torch.testing.assert_close(theirs(inputs()), expected, atol=1e-5, rtol=0)
    assert expected.std(0).min() > 1e-3  # the answers do differ from input to input


@pytest.mark.parametrize("norm", [bnlab.BatchNorm1d, nn.BatchNorm1d])
def test_torch_answers_as_a_trained_keras_does(keras, digits, norm):
    theirs, ours = keras_mlp(64), models.mlp(64, norm).eval()
    theirs.compile(keras.optimizers.SGD(0.1), loss="sparse_categorical_crossentropy")
    for start in range(0, 5 * BATCH, BATCH):
        rows = slice(start, start + BATCH)
        theirs.train_on_batch(digits.train.inputs[rows], digits.train.targets[rows])
    before = theirs(digits.test.inputs)
    carry_over(theirs, ours)
    torch.testing.assert_close(ours(digits.test.inputs).softmax(1), before, atol=1e-5, rtol=0)
    assert [ours.norm1.eps, ours.norm1.momentum] == [1e-3, 0.01]
    assert all(same(theirs, ours, atol=0, rtol=0).values())


def test_there_and_back_is_the_same_to_the_bit():
    ours, theirs, again = used(), keras_mlp(64), used(seed=1)
    again.norm1.num_batches_tracked.fill_(7)
    carry_over(ours, theirs)
    carry_over(theirs, again)
    assert all(same(ours, theirs, atol=0, rtol=0).values())
    assert torch.equal(ours(inputs()), again(inputs()))
    assert again.norm1.num_batches_tracked == 7


def test_copies_share_nothing():
    ours, theirs = used(), keras_mlp(64)
    carry_over(ours, theirs)
    ours.linear1.weight.data.zero_()
    ours.norm1.running_var.zero_()
    differ = [name for name, agree in same(ours, theirs).items() if not agree]
    assert differ == ["linear1.weight", "norm1.running_var"]


def test_eps_and_momentum_go_along_or_stay():
    ours, theirs = used(eps=2e-5, momentum=0.25), keras_mlp(64)
    carry_over(ours, theirs, settings=False)
    norm = theirs.get_layer("norm1")
    assert (norm.epsilon, norm.momentum) == (1e-3, 0.99)
    apart = (theirs(inputs()) - ours(inputs()).softmax(1)).abs().max()
    carry_over(ours, theirs)
    assert (norm.epsilon, norm.momentum) == (2e-5, 0.75)
    assert norm.get_config()["momentum"] == 0.75
    assert apart > 1e-4 > (theirs(inputs()) - ours(inputs()).softmax(1)).abs().max()


def test_the_two_conventions(keras):
    norm, ours = keras.layers.BatchNormalization(), bnlab.BatchNorm1d(3)
    assert (norm.momentum, norm.epsilon, ours.momentum, ours.eps) == (0.99, 1e-3, 0.1, 1e-5)
    x = data.synthetic((5, 3), mean=2.0, std=3.0)
    norm(x, training=True), ours(x)
    biased, unbiased = x.var(0, correction=0), x.var(0, correction=1)
    torch.testing.assert_close(norm.moving_mean.value, 0.01 * x.mean(0))
    torch.testing.assert_close(norm.moving_variance.value, 0.99 + 0.01 * biased)
    torch.testing.assert_close(ours.running_mean, 0.1 * x.mean(0))
    torch.testing.assert_close(ours.running_var, 0.9 + 0.1 * unbiased)


def start_alike(keras, **sgd):
    torch.manual_seed(0)
    ours, theirs = models.mlp(64, bnlab.BatchNorm1d), keras_mlp(64)
    carry_over(ours, theirs)
    theirs.compile(keras.optimizers.SGD(0.1, **sgd), loss="sparse_categorical_crossentropy")
    return ours, theirs, torch.optim.SGD(ours.parameters(), lr=0.1, **sgd)


def step(ours, theirs, optimizer, x, y):
    loss = nn.functional.cross_entropy(ours(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), float(theirs.train_on_batch(x, y))


def test_one_step_agrees_in_all_but_the_running_variance(keras, digits):
    ours, theirs, optimizer = start_alike(keras)
    before = weights(ours)["norm1.running_var"].clone()
    mine, other = step(
        ours, theirs, optimizer, digits.train.inputs[:BATCH], digits.train.targets[:BATCH]
    )
    assert mine == pytest.approx(other, abs=1e-5)
    differ = [name for name, agree in same(ours, theirs, atol=1e-6, rtol=1e-6).items() if not agree]
    assert differ == ["norm1.running_var", "norm2.running_var"]
    share = weights(ours)["norm1.running_var"] - 0.9 * before
    other_share = weights(theirs)["norm1.running_var"] - 0.9 * before
    torch.testing.assert_close(share / other_share, torch.full((128,), BATCH / (BATCH - 1)),
                               atol=1e-4, rtol=0)  # fmt: skip


def test_an_epoch_of_the_same_batches_agrees(keras, digits):
    ours, theirs, optimizer = start_alike(keras, momentum=0.9)
    for rows in torch.arange(1344).split(BATCH):
        step(ours, theirs, optimizer, digits.train.inputs[rows], digits.train.targets[rows])
    differ = {name for name, agree in same(ours, theirs, atol=1e-5).items() if not agree}
    assert differ == {"norm1.running_var", "norm2.running_var"}
    ours.eval()
    x, y = digits.test.inputs, digits.test.targets
    mine, other = ((model(x).argmax(1) == y).float().mean() for model in (ours, theirs))
    assert min(mine, other) > 0.85
    assert abs(mine - other) < 0.02


def without_statistics(features):
    return bnlab.BatchNorm1d(features, track_running_stats=False)


def plain(features):
    return bnlab.BatchNorm1d(features, affine=False)


def cumulative():
    model = models.mlp(64, bnlab.BatchNorm1d)
    model.norm2.momentum = None
    return model


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: models.mlp(784, bnlab.BatchNorm1d), ValueError,
         r"'linear1'.*weight \(128, 784\).*'linear1'.*weight \(128, 64\).*same order and size"),
        (lambda: models.mlp(64), ValueError, "'linear2', a linear layer.*'norm1', a batch norm"),
        (lambda: models.mlp(64, plain), ValueError, "affine=False"),
        (lambda: models.mlp(64, without_statistics), ValueError, "running_mean"),
        (lambda: models.mlp(64, nn.LayerNorm), TypeError, "'norm1' is a LayerNorm.*copy"),
        (cumulative, ValueError, "'norm2' has momentum=None.*settings=False"),
        (lambda: models.mlp(64, bnlab.BatchNorm1d)[:-1], ValueError,
         "has 4 layers.*target 5.*'output'"),
        (lambda: used().state_dict(), TypeError, "OrderedDict.*torch.nn.Module"),
    ],
)  # fmt: skip
def test_what_does_not_match_is_named_and_nothing_changed(build, error, words):
    theirs = keras_mlp(64)
    before = weights(theirs)
    with pytest.raises(error, match=f"(?s){words}"):
        carry_over(build(), theirs)
    assert all(torch.equal(before[name], after) for name, after in weights(theirs).items())
    assert theirs.get_layer("norm1").epsilon == 1e-3


@pytest.mark.parametrize(
    ("layers", "error", "words"),
    [
        (lambda k: [k.Dense(10)], ValueError, "has not made the weights.*Input"),
        (lambda k: [k.Input((8, 8, 1)), k.Conv2D(4, 3)], TypeError, "is a Conv2D"),
        (lambda k: [k.Input((64,)), k.BatchNormalization(renorm=True)], TypeError, "further"),
        (lambda k: [k.Input((64,)), k.Dense(10, use_bias=False)], ValueError, r"bias \(10,\)"),
    ],
)
def test_what_keras_does_otherwise_is_named(keras, layers, error, words):
    model = keras.Sequential(layers(keras.layers))
    with pytest.raises(error, match=words):
        carry_over(nn.Sequential(nn.Linear(64, 10)), model)


def test_norms_without_scale_and_shift_match(keras):
    norm = keras.layers.BatchNormalization(center=False, scale=False)
    theirs, ours = keras.Sequential([keras.Input((64,)), norm]), nn.Sequential(plain(64)).eval()
    norm(5 * inputs(), training=True)
    carry_over(theirs, ours)
    torch.testing.assert_close(ours(inputs()), theirs(inputs()))


def run(script, **environment):
    strangers = ("KERAS_",)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(strangers)}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=inherited | {name: str(value) for name, value in environment.items()},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_importing_leaves_no_trace(tmp_path):
    script = """
import os, sys
before = dict(os.environ)
import bnlab.keras_twin as twin
assert "keras" not in sys.modules
keras = twin.load_keras()
assert keras.backend.backend() == "torch" and dict(os.environ) == before, os.environ
assert twin.keras_mlp(64).layers[0].kernel.value.device.type == "cpu"
"""
    ran = run(script, HOME=tmp_path, KERAS_BACKEND="tensorflow", MPLCONFIGDIR=tmp_path / "mpl")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert not (tmp_path / ".keras").exists()


def test_keras_with_another_backend_is_refused(keras, monkeypatch):
    # Keras reports what this says, and could not change it any more either.
    monkeypatch.setattr(keras.src.backend.config, "_BACKEND", "jax")
    with pytest.raises(RuntimeError, match=r'with jax.*restart.*\["KERAS_BACKEND"\] = "torch"'):
        keras_mlp(64)


def test_without_keras_the_way_to_get_it_is_named(tmp_path):
    (tmp_path / "keras.py").write_text("import no_such_part_of_keras")
    ran = run("from bnlab.keras_twin import load_keras; load_keras()", PYTHONPATH=tmp_path)
    assert "ModuleNotFoundError" in ran.stderr
    assert "pip install keras" in ran.stderr
