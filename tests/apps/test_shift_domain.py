"""The explorer of other domains: digits, readings, lines, channels, caption, size of the page."""

import warnings

import numpy as np
import pytest
import torch

import bnlab
from bnlab import data, models
from bnlab.apps.shift_domain import STRENGTHS, ShiftDomain
from bnlab.experiments.fine_tuning import STATISTICS, shift


@pytest.fixture(scope="module")
def explorer():
    digits = data.digits(flat=True)
    torch.manual_seed(0)
    model = models.mlp(64, bnlab.BatchNorm1d)
    for batch in digits.train.inputs[:1280].split(64):
        model(batch)
    return ShiftDomain(model.eval(), digits)


def test_digits_readings_and_shares_are_the_networks(explorer):
    explorer.show(kind="inverted", strength=0.3, batches="one class at a time")
    artists, test = explorer.artists, explorer.asked
    answers = explorer.results["inverted", 0.3, "one class at a time"].answers
    assert test.targets[artists.rows].tolist() == list(range(10))
    sheet = artists.sheet.get_array().reshape(8, 10, 10)[:, :, 1:9].transpose(1, 0, 2)
    shown = shift(test.inputs, "inverted", 0.3)[artists.rows].view(10, 8, 8)
    np.testing.assert_allclose(sheet, shown)
    for name, row in artists.readings.items():
        read = [int(text.get_text()) for text in row.readings]
        assert read == answers[name].logits[artists.rows].argmax(1).tolist()
        assert row.share.get_text() == f"{100 * answers[name].accuracy:.1f} %"


def test_lines_follow_the_strength_and_the_cursor_the_handle(explorer):
    explorer.show(kind="noise", strength=0.5)
    for name in STATISTICS:
        along = [explorer.results["noise", s, "45 mixed digits"].answers for s in STRENGTHS]
        drawn = explorer.artists.lines[name].get_ydata()
        assert list(drawn) == pytest.approx([100 * each[name].accuracy for each in along])
    assert explorer.artists.cursor.get_xdata() == [50, 50]


def test_channels_of_the_domain_and_of_the_first_batch_are_inside(explorer):
    result = explorer.show(kind="grey paper", strength=0.3, batches="3 mixed digits")
    for line, channels in ((explorer.artists.domain, result.domain),
                           (explorer.artists.batch, result.batch)):  # fmt: skip
        low, high = line.axes.get_xlim()
        drawn = line.get_xdata()[::3]
        np.testing.assert_allclose(drawn, channels.mean.clamp(low, high), rtol=1e-6)
    whole = explorer.results["grey paper", 0.3, "3 mixed digits"].domain.mean
    assert set(result.domain.mean.tolist()) < set(whole.tolist())


def test_the_caption_says_kind_strength_and_shares(explorer):
    result = explorer.show(kind="fainter ink", strength=0.7)
    words = [f"{name} {100 * each.accuracy:.1f} %" for name, each in result.answers.items()]
    sentence = explorer.describe(result)
    assert sentence.startswith("Fainter ink, 70%, 45 mixed digits: ")
    assert ", ".join(words) in sentence


def test_every_state_draws_without_a_warning_in_a_small_page(explorer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = explorer._repr_mimebundle_()["text/html"]
    assert len(page) < 300_000
