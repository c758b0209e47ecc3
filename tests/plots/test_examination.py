"""A case with a defect: marks, bars, and the folded report."""

from types import SimpleNamespace

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from bnlab.plots.examination import COLOURS, LINES, WIDE, draw_examined, fold, middle

LAYERS = ("norm1", "norm2")


def finding(kind="odd", severity="error", layer="norm2", message="It is odd.", remedy="Mend it."):
    return SimpleNamespace(
        kind=kind, severity=severity, layer=layer, message=message, remedy=remedy
    )


def case(found=None, layer="norm2", answers=0.5, small=0.25, later=float("nan"), others=()):
    findings = [*([] if found is None else [found]), *others]
    return SimpleNamespace(
        defect="odd",
        layer=layer,
        examination=SimpleNamespace(findings=findings),
        found=found,
        answers=answers,
        small=small,
        later=later,
    )


HEALTHY = case(layer="", answers=0.96, small=0.95, later=0.97)


@pytest.fixture
def artists():
    return draw_examined(tuple(Figure().subplots(1, 3)), HEALTHY, HEALTHY, LAYERS)


def test_bars_are_the_accuracies_and_one_that_is_not_there_is_empty(artists):
    artists.update(case(finding()))
    assert [bar.get_width() for bar in artists.bars.values()] == [0.5, 0.25, 0]
    assert [text.get_text() for text in artists.shares.values()] == ["50.0 %", "25.0 %", "fails"]


def test_marks_stand_where_it_was_planted_and_found(artists):
    artists.update(case(finding(layer="norm1"), layer="norm2"))
    assert artists.planted.get_position()[0] == middle(artists.boxes["norm2"])
    assert artists.found.get_position()[0] == middle(artists.boxes["norm1"])
    assert artists.found.get_text() == "error found"
    assert to_hex(artists.found.get_color()).upper() == COLOURS["error"]
    wide = {name: box.get_linewidth() for name, box in artists.boxes.items()}
    assert wide["norm2"] > wide["norm1"]


@pytest.mark.parametrize(
    ("layer", "planted", "words", "place"),
    [
        ("linear2", "norm2", "error found in linear2", "norm2"),
        ("", "", "error found in the network", None),
    ],
)
def test_what_is_found_in_no_norm_is_named(artists, layer, planted, words, place):
    artists.update(case(finding(layer=layer), layer=planted))
    x = middle(artists.boxes[place]) if place else 1.0
    assert (artists.found.get_text(), artists.found.get_position()[0]) == (words, x)
    assert artists.planted.get_visible() == bool(planted)


def test_nothing_found_hides_the_marks_and_says_so(artists):
    artists.update(case(finding()))
    artists.update(HEALTHY)
    assert not artists.planted.get_visible()
    assert not artists.found.get_visible()
    assert artists.lines[0].get_text() == "Nothing found."
    assert {text.get_text() for text in (*artists.heads, *artists.lines[1:])} == {""}


def test_the_report_has_heads_messages_and_the_first_remedy(artists):
    artists.update(case(finding(), others=[finding("idle", "note", "")]))
    shown = [h.get_text() + t.get_text() for h, t in zip(artists.heads, artists.lines, strict=True)]
    assert shown[:3] == ["error: odd in norm2", "It is odd.", "Remedy: Mend it."]
    assert shown[4:7] == ["note: idle in the network", "It is odd.", ""]


def test_long_reports_are_cut_and_counted():
    lines = fold([finding(message="word " * 60)] * 6)
    assert len(lines) <= LINES
    assert lines[-1][0].startswith("and ")
    shown = sum(bool(severity) for _, severity in lines)
    assert lines[-1][0] == f"and {6 - shown} more findings"
    assert max(len(text) for text, _ in lines) <= WIDE
