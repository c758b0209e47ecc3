"""What comes back from a file, and what the explanation says of it."""

import copy
from itertools import product

import pytest
import torch
from torch import nn

import bnlab
from bnlab import data, models
from bnlab.data import Split
from bnlab.experiments.round_trip import BATCHES, LOADED, MODES, SAVED, explain, round_trips

DIGITS = data.digits(flat=True)
ASKED = Split(DIGITS.test.inputs[:90], DIGITS.test.targets[:90])


def with_statistics(norm=bnlab.BatchNorm1d) -> nn.Module:
    """A network whose running statistics have seen digits."""
    torch.manual_seed(0)
    model = models.mlp(64, norm)
    for batch in DIGITS.train.inputs[:640].split(64):
        model(batch)
    return model


@pytest.fixture(scope="module")
def networks():
    return with_statistics(), models.mlp(64, bnlab.BatchNorm1d)


@pytest.fixture(scope="module")
def results(networks):
    return round_trips(*networks, ASKED)


def test_there_is_a_result_for_every_combination(results):
    assert set(results) == set(product(SAVED, LOADED, MODES, BATCHES))


@pytest.mark.parametrize("loaded", LOADED)
@pytest.mark.parametrize("batches", BATCHES)
def test_everything_comes_back_bit_for_bit(results, networks, loaded, batches):
    result = results["everything", loaded, "eval", batches]
    model = copy.deepcopy(networks[0]).eval()
    assert (result.gap(result.answers), result.differing, result.refused) == (0, (), "")
    torch.testing.assert_close(result.answers.logits, model(ASKED.inputs))
    right = (model(ASKED.inputs).argmax(1) == ASKED.targets).double().mean()
    assert result.answers.accuracy == pytest.approx(right.item())


def test_who_refuses_what_and_what_is_left_behind(results):
    found = {}
    for saved, loaded in product(SAVED, LOADED):
        result = results[saved, loaded, "eval", "mixed digits"]
        found[saved, loaded] = bool(result.refused), result.overwritten
        assert (result.answers is None) == bool(result.refused)
    assert found == {
        # Weights of norms are 1 and their biases 0 in both networks: 6 parameters change.
        **{("everything", loaded): (False, 12) for loaded in LOADED},
        ("parameters only", "strict=True"): (True, 6),
        ("parameters only", "strict=False"): (False, 6),
        ("parameters only", "bnlab.checkpoint"): (True, 0),
        ("without the counter", "strict=True"): (True, 10),
        ("without the counter", "strict=False"): (False, 10),
        ("without the counter", "bnlab.checkpoint"): (True, 0),
        ("from DataParallel", "strict=True"): (True, 0),
        ("from DataParallel", "strict=False"): (False, 0),
        ("from DataParallel", "bnlab.checkpoint"): (True, 0),
    }


def test_lost_statistics_are_those_of_a_fresh_network(results, networks):
    result = results["parameters only", "strict=False", "eval", "mixed digits"]
    lost = copy.deepcopy(networks[0]).eval()
    for norm in (lost.norm1, lost.norm2):
        norm.reset_running_stats()
    torch.testing.assert_close(result.answers.logits, lost(ASKED.inputs))
    assert set(result.answers.mean.tolist()) == {0}
    assert set(result.answers.var.tolist()) == {1}
    assert result.gap(result.answers) > 0.01


def test_names_with_a_prefix_load_nothing_in_silence(results, networks):
    result = results["from DataParallel", "strict=False", "eval", "mixed digits"]
    fresh = copy.deepcopy(networks[1]).eval()
    torch.testing.assert_close(result.answers.logits, fresh(ASKED.inputs))


def test_the_prefix_is_the_one_that_the_wrapper_gives(results, networks):
    wrapped = nn.DataParallel(copy.deepcopy(networks[0])).state_dict()
    message = results["from DataParallel", "strict=True", "eval", "mixed digits"].refused
    assert all(f'"{name}"' in message for name in wrapped)


@pytest.mark.parametrize("batches", BATCHES[:2])
def test_train_mode_answers_from_the_batches_and_moves_the_statistics(results, networks, batches):
    result = results["everything", "strict=True", "train", batches]
    model = copy.deepcopy(networks[0]).train()
    rows = torch.arange(90)
    classes = [rows[ASKED.targets == each] for each in range(10)]
    deal = rows.chunk(10) if batches == "mixed digits" else classes
    logits = torch.empty(90, 10)
    with torch.no_grad():
        for each in deal:
            logits[each] = model(ASKED.inputs[each])
    torch.testing.assert_close(result.answers.logits, logits)
    torch.testing.assert_close(result.afterwards.mean, model.norm2.running_mean)
    torch.testing.assert_close(result.afterwards.logits, model.eval()(ASKED.inputs))
    assert result.gap(result.before) == 0 < result.gap(result.answers)
    assert torch.equal(result.before.var, networks[0].norm2.running_var)


def test_one_digit_has_no_statistics_in_train_mode(results):
    result = results["everything", "strict=True", "train", "one digit at a time"]
    assert "more than 1 value per channel" in result.refused
    assert result.answers is None
    assert result.before is not None


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (("everything", "strict=True", "eval"), "Every entry came back bit for bit."),
        (("everything", "strict=True", "train"), "the largest gap would be 0."),
        (("parameters only", "strict=True", "eval"), "6 of 16 entries had been overwritten"),
        (("parameters only", "strict=False", "eval"), "no running statistics"),
        (("parameters only", "bnlab.checkpoint", "eval"), "as it was"),
        (("without the counter", "strict=False", "eval"), "Only the counter differs"),
        (("from DataParallel", "strict=False", "eval"), "the weights are fresh"),
    ],
)
def test_the_explanation_names_the_cause(results, key, words):
    assert words in explain(results[(*key, "mixed digits")])


def test_the_explanation_of_one_digit_names_the_batch(results):
    result = results["everything", "strict=True", "train", "one digit at a time"]
    assert explain(result).endswith("one digit has none.")


def test_the_networks_stay_as_they_are(networks):
    before = [copy.deepcopy(each.state_dict()) for each in networks]
    modes = [each.training for each in networks]
    round_trips(*networks, ASKED)
    assert [each.training for each in networks] == modes
    for network, state in zip(networks, before, strict=True):
        assert all(torch.equal(state[name], now) for name, now in network.state_dict().items())


def test_messages_name_the_file_without_its_folder(results):
    refused = [result.refused for result in results.values() if result.refused]
    assert any(message.startswith("model.pt: ") for message in refused)
    assert not any("/model.pt" in message for message in refused)
