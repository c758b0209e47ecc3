"""Findings as text in a terminal, as a table in a notebook, as JSON."""

import json
from html.parser import HTMLParser

import pytest
import torch
from torch import nn

from bnlab.examination import Examination, Finding, examine
from bnlab.examination.findings import say_channels, worst_first


def finding(kind="kind", severity="error", layer="norm", **others):
    return Finding(kind, severity, layer, "What is the matter & <why>.", "Mend it.", **others)


MANY = Examination(
    "a network",
    worst_first(
        [
            *(finding("idle", "note", f"linear{number}") for number in range(30)),
            finding("odd", "warning", "norm7", channels=(3, 7, 9, *range(20, 40))),
            *(finding("bad", layer=f"block{number}.norm1") for number in range(20)),
            finding("odd", "warning", "norm8"),
            finding("bad", layer="last", evidence={"gap": float("inf"), "share": 0.25}),
        ]
    ),
)


def test_worst_comes_first_and_kinds_stay_together():
    assert [len(MANY.errors), len(MANY.warnings), len(MANY.notes)] == [21, 2, 30]
    severities = [each.severity for each in MANY.findings]
    assert severities == ["error"] * 21 + ["warning"] * 2 + ["note"] * 30
    mixed = worst_first([finding("a"), finding("b"), finding("a")])
    assert [each.kind for each in mixed] == ["a", "a", "b"]


def test_text_fits_a_terminal_and_says_the_same_once():
    lines = repr(MANY).splitlines()
    assert lines[0] == "a network: 21 errors, 2 warnings, 30 notes"
    assert max(map(len, lines)) <= 92
    assert len(lines) < 25
    assert lines[2].startswith("error    bad: block0.norm1, block1.norm1, ")
    assert lines[3].endswith("and 13 more")
    assert "warning  odd: norm7, channels 3, 7, 9 and 20 more and norm8" in lines
    assert repr(MANY).count("What is the matter & <why>.") == 3


def test_of_many_different_findings_the_first_are_told_and_the_others_named():
    told = [Finding("far", "error", f"norm{n}", f"It is {n} off.", "Mend it.") for n in range(9)]
    text = repr(Examination("a network", tuple(told)))
    assert [f"It is {n} off." in text for n in range(9)] == [True] * 3 + [False] * 6
    assert text.count("Remedy:") == 1
    assert text.endswith("And in norm3, norm4, norm5, norm6, norm7 and norm8.")


def test_good_health_takes_one_line():
    healthy = Examination("a network", ())
    assert repr(healthy) == "a network: 0 errors, 0 warnings, 0 notes"
    assert healthy
    assert not MANY
    assert Examination("a network", MANY.notes)


@pytest.mark.parametrize(
    ("channels", "words"),
    [
        ([4], "channel 4"),
        ([1, 2], "channels 1 and 2"),
        ([1, 2, 3, 4], "channels 1, 2, 3 and 4"),
        (range(64), "channels 0, 1, 2 and 61 more"),
    ],
)
def test_many_channels_are_cut_short(channels, words):
    assert say_channels(list(channels)) == words


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.rows, self.open = [], []

    def handle_starttag(self, tag, _):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def test_the_table_has_every_finding_in_a_row_with_its_words():
    cells = Cells()
    cells.feed(MANY._repr_html_())
    assert not cells.open
    head, *rows = cells.rows
    assert head == ["severity", "kind", "where", "what", "remedy"]
    assert len(rows) == len(MANY.findings)
    for row, each in zip(rows, MANY.findings, strict=True):
        assert row == [each.severity, each.kind, each.place, each.message, each.remedy]


def test_json_is_plain_json_with_all_that_findings_have():
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    read = json.loads(MANY.to_json(), parse_constant=refuse)
    assert (read["subject"], read["errors"], read["notes"]) == ("a network", 21, 30)
    assert read["findings"][20]["evidence"] == {"gap": None, "share": 0.25}
    assert read["findings"][21]["channels"] == [3, 7, 9, *range(20, 40)]
    names = {"kind", "severity", "layer", "channels", "evidence", "message", "remedy"}
    assert all(set(each) == names for each in read["findings"])


def test_every_sentence_of_a_broken_network_is_whole_and_its_evidence_is_numbers():
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=0.99))
    model[1].running_var[::2] = -1.0
    model[1].running_mean[0] = torch.nan
    for each in examine(model, torch.randn(64, 4).split(16), accumulation=2).findings:
        for words in filter(None, (each.message, each.remedy)):
            assert words[0].isupper() or words.startswith(("gamma", "momentum", "running_"))
            assert words.endswith(".")
            assert "  " not in words
        assert all(isinstance(value, float) for value in each.evidence.values())
