"""One digit, ever new batch-mates: train mode moves its logits, eval mode does not."""

import warnings

import pytest
import torch
from torch import nn

from bnlab import BatchNorm1d, data, models, training
from bnlab.apps.batch_mates import BatchMates

DIGIT = 330


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    torch.manual_seed(0)
    model = models.mlp(64, BatchNorm1d)
    training.fit(model, data.digits(flat=True), epochs=3, lr=0.05, progress=False)
    return model


@pytest.fixture(scope="module")
def explorer(trained: nn.Module) -> BatchMates:
    return BatchMates(trained, data.digits(flat=True), DIGIT)


@pytest.mark.parametrize("mates", ["all digits", "only ones"])
@pytest.mark.parametrize("size", [2, 4, 8, 16, 64])
def test_eval_logits_stand_still_bit_for_bit(explorer: BatchMates, size: int, mates: str) -> None:
    results = [explorer.show(draw=draw, batch_size=size, mates=mates) for draw in range(1, 11)]
    assert all(torch.equal(result.eval, results[0].eval) for result in results)
    assert not any(torch.equal(result.train, results[0].train) for result in results[1:])


def test_eval_logits_are_those_of_the_digit_alone(explorer: BatchMates, trained: nn.Module) -> None:
    with torch.no_grad():
        alone = trained.eval()(data.digits(flat=True).test.inputs[DIGIT, None])[0]
    for size in (2, 8, 64):
        result = explorer.show(batch_size=size)
        torch.testing.assert_close(result.eval, alone, atol=1e-5, rtol=1e-5)


def test_train_logits_are_normalised_by_the_shown_batch(
    explorer: BatchMates, trained: nn.Module
) -> None:
    digits = data.digits(flat=True)
    result = explorer.show(draw=3, batch_size=16)
    batch = torch.cat((digits.test.inputs[DIGIT, None], result.mates.flatten(1)))
    values = batch
    for layer in trained:
        if isinstance(layer, BatchNorm1d):
            values = nn.functional.batch_norm(
                values, None, None, layer.weight, layer.bias, training=True
            )
        else:
            values = layer(values)
    torch.testing.assert_close(result.train, values[0].detach(), atol=1e-4, rtol=1e-4)


def test_a_larger_batch_keeps_the_company_of_a_smaller_one(explorer: BatchMates) -> None:
    small, large = (explorer.show(draw=2, batch_size=size).mates for size in (4, 64))
    assert (len(small), len(large)) == (3, 63)
    assert torch.equal(small, large[:3])


def test_only_ones_are_ones(explorer: BatchMates) -> None:
    train = data.digits(flat=True).train
    mates = explorer.show(batch_size=64, mates="only ones").mates.flatten(1)
    ones = {tuple(row) for row in train.inputs[train.targets == 1].tolist()}
    assert all(tuple(mate) in ones for mate in mates.tolist())


def test_bars_readings_and_dashes_show_the_logits(explorer: BatchMates) -> None:
    for draw in range(1, 11):
        result = explorer.show(draw=draw, batch_size=4)
        for panel, logits in (
            (explorer.artists.train, result.train),
            (explorer.artists.eval, result.eval),
        ):
            heights = panel.bars.get_data().values[::2]
            assert heights.tolist() == pytest.approx(logits.tolist())
            assert panel.reading.get_text().startswith(f"reads {int(logits.argmax())}")
            dashes = torch.as_tensor(panel.ghosts.get_ydata())
            assert all((dashes - logit).abs().nan_to_num(9).min() < 1e-5 for logit in logits)
        said = "≠" in explorer.artists.train.reading.get_text()
        assert said == bool(result.train.argmax() != result.eval.argmax())
        assert ("flipped the answer" in explorer.describe(result)) == said


def test_some_draw_flips_the_answer(explorer: BatchMates) -> None:
    flipped = [explorer.show(draw=draw, batch_size=2).flipped for draw in range(1, 11)]
    assert any(flipped)


def test_the_model_is_left_alone(trained: nn.Module) -> None:
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    mode = trained.training
    BatchMates(trained, data.digits(flat=True), DIGIT).show(draw=2)
    assert trained.training == mode
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())


def test_every_state_draws_without_a_warning_in_a_small_page(explorer: BatchMates) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = explorer._repr_mimebundle_()["text/html"]
    assert len(page) < 400_000
