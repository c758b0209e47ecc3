"""Training a part of a network and nothing else."""

import pytest
import torch
from torch import nn

import bnlab
from bnlab import data, models
from bnlab.models.partial import PARTS, count_trained, train_only
from bnlab.training import Training, fit, sweep


def moved(part: str, norm=nn.BatchNorm1d) -> dict[str, int]:
    """How many entries of each parameter a short training changed, by the name it had before."""
    torch.manual_seed(3)
    before = {name: p.detach().clone() for name, p in models.mlp(64, norm).named_parameters()}
    torch.manual_seed(3)
    model = train_only(models.mlp(64, norm), part)
    fit(model, data.digits(flat=True), epochs=1, progress=False)
    found = {name: model.get_submodule(name.rpartition(".")[0]) for name in before}
    now = {name: getattr(module, name.rpartition(".")[2]) for name, module in found.items()}
    return {name: int((now[name] != before[name]).sum()) for name in before}


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, bnlab.BatchNorm1d])
def test_gamma_and_beta_alone_move(norm):
    counts = moved("gamma and beta", norm)
    assert {name for name, count in counts.items() if count} == {
        "norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias",
    }  # fmt: skip


def test_the_output_alone_moves():
    assert {name for name, count in moved("output").items() if count} == {
        "output.weight",
        "output.bias",
    }


def test_as_many_weights_move_as_there_are_gammas_and_betas():
    counts = moved("random weights")
    assert {name for name, count in counts.items() if count} <= {
        "linear1.weight", "linear2.weight", "output.weight",
    }  # fmt: skip
    # Those behind pixels that are 0 in every digit never get a gradient.
    assert 330 <= sum(counts.values()) <= 384


def test_counts_are_what_is_trained():
    trained = {
        part: count_trained(train_only(models.mlp(64, nn.BatchNorm1d), part)) for part in PARTS
    }
    assert trained["gamma and beta"] == trained["random weights"] == 2 * (128 + 64)
    assert trained["output"] == 64 * 10 + 10
    assert trained["all"] == sum(p.numel() for p in models.mlp(64, nn.BatchNorm1d).parameters())


def test_a_partly_trained_network_computes_what_it_did():
    torch.manual_seed(3)
    whole = models.mlp(64, nn.BatchNorm1d)
    torch.manual_seed(3)
    partly = train_only(models.mlp(64, nn.BatchNorm1d), "random weights")
    inputs = data.synthetic((8, 64))
    assert torch.equal(whole(inputs), partly(inputs))


@pytest.mark.parametrize(
    ("model", "part", "message"),
    [
        (models.mlp(64, nn.BatchNorm1d), "weights", "part is one of all, gamma and beta"),
        (models.mlp(64), "all", "no batch norm"),
    ],
)
def test_bad_input_is_named(model, part, message):
    with pytest.raises(ValueError, match=message):
        train_only(model, part)


def test_a_sweep_trains_the_parts_as_one_training_at_a_time_does():
    def build(part):
        return train_only(models.mlp(64, nn.BatchNorm1d), part)

    run = Training(build, data.digits(flat=True), epochs=1, batch_size=256)
    runs = sweep(run, {"part": PARTS}, seeds=2, progress=False, cache=None)
    for part in PARTS:
        for seed in range(2):
            alone = torch.tensor(run(seed=seed, part=part).loss, dtype=torch.float64)
            torch.testing.assert_close(runs.where(part=part)["loss"][seed], alone)
