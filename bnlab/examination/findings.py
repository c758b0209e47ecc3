"""What an examination says: findings, worst first, as text, as a table and as JSON."""

from __future__ import annotations

import html
import json
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
SHOWN = 3
"""Findings of one kind that the text has in full; of the others it names the layers."""
WIDTH, INDENT = 92, " " * 9


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        kind: A short name that stays the same, such as "negative-variance".
        severity: "error" where answers in eval mode are wrong or training will stop with an error,
            "warning" where something is likely a mistake, "note" where it does no harm.
        layer: Its name in the model; empty for the model itself.
        message: What is the matter and what comes of it.
        remedy: What to do; empty where nothing has to be done.
        channels: Which of the layer's channels it is about; empty for all, or for none.
        evidence: Numbers that it rests on, by name.
    """

    kind: str
    severity: Severity
    layer: str
    message: str
    remedy: str = ""
    channels: tuple[int, ...] = ()
    evidence: Mapping[str, float] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Layer and channels in words."""
        layer = self.layer or "the model"
        return f"{layer}, {say_channels(self.channels)}" if self.channels else layer


@dataclass(frozen=True, repr=False)
class Examination:
    """All that was found; true if nothing worse than a note was.

    Attributes:
        subject: What was examined, in words.
        findings: Worst first.

    Example:
        >>> finding = Finding("momentum-zero", "warning", "norm1", "Statistics stand still.")
        >>> Examination("a network", (finding,))
        a network: 0 errors, 1 warning, 0 notes
        <BLANKLINE>
        warning  momentum-zero: norm1
                 Statistics stand still.
    """

    subject: str
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Those for which answers in eval mode are wrong, or training will stop."""
        return self._of("error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Those that are likely mistakes."""
        return self._of("warning")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """Those that do no harm."""
        return self._of("note")

    def to_json(self) -> str:
        """Return subject and findings as JSON; numbers that it has no words for are null."""
        findings = [
            {**asdict(each), "evidence": {k: _finite(v) for k, v in each.evidence.items()}}
            for each in self.findings
        ]
        counts = {f"{severity}s": len(self._of(severity)) for severity in SEVERITIES}
        whole = {"subject": self.subject, **counts, "findings": findings}
        return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False)

    def __bool__(self) -> bool:
        return not (self.errors or self.warnings)

    def __repr__(self) -> str:
        parts = [self._summary()]
        for group in self._groups():
            # What is said of several layers in the same words is said once.
            said: dict[tuple[str, str], list[str]] = {}
            for each in group:
                said.setdefault((each.message, each.remedy), []).append(each.place)
            first = f"{group[0].severity:8} {group[0].kind}:"
            remedies: list[str] = []
            for (message, remedy), places in list(said.items())[:SHOWN]:
                head = f"{first} {_name(places)}"
                parts += ["", *_fold(head, hang=INDENT), *_fold(message, INDENT)]
                if remedy and remedy not in remedies:
                    parts += _fold(f"Remedy: {remedy}", INDENT)
                    remedies.append(remedy)
            if rest := [place for places in list(said.values())[SHOWN:] for place in places]:
                parts += _fold(f"And in {_name(rest)}.", INDENT)
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        titles = ("severity", "kind", "where", "what", "remedy")
        left = 'style="text-align:left"'
        head = "".join(f'<th scope="col" {left}>{title}</th>' for title in titles)
        rows = "".join(_row(each) for each in self.findings)
        body = f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>" if self.findings else ""
        return f"<table><caption>{html.escape(self._summary())}</caption>{body}</table>"

    def _of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.severity == severity)

    def _groups(self) -> Iterator[list[Finding]]:
        for _, group in groupby(self.findings, lambda each: (each.severity, each.kind)):
            yield list(group)

    def _summary(self) -> str:
        counts = (say_count(len(self._of(severity)), severity) for severity in SEVERITIES)
        return f"{self.subject}: {', '.join(counts)}"


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Order by severity; what is equally bad keeps its order, one kind together."""
    findings = list(findings)
    kinds = list(dict.fromkeys(each.kind for each in findings))
    return tuple(
        sorted(findings, key=lambda e: (SEVERITIES.index(e.severity), kinds.index(e.kind)))
    )


def say_count(count: int, thing: str) -> str:
    """Say how many.

    Example:
        >>> say_count(1, "note"), say_count(0, "note")
        ('1 note', '0 notes')
    """
    return f"{count} {thing}{'' if count == 1 else 's'}"


def say_channels(channels: Sequence[int], most: int = 3) -> str:
    """Say which channels, or which first few of many.

    Example:
        >>> say_channels([4]), say_channels([0, 1]), say_channels([3, 7, 9, *range(20, 40)])
        ('channel 4', 'channels 0 and 1', 'channels 3, 7, 9 and 20 more')
    """
    if len(channels) == 1:
        return f"channel {channels[0]}"
    return f"channels {_name(map(str, channels), most)}"


def _name(names: Iterable[str], most: int = 8) -> str:
    """Name a few: "a", "a and b", "a, b, c and 4 more"."""
    names = list(names)
    last = f"{len(names) - most} more" if len(names) > most + 1 else names[-1]
    first = names[:most] if len(names) > most + 1 else names[:-1]
    return f"{', '.join(first)} and {last}" if first else last


def _fold(text: str, indent: str = "", hang: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent if hang is None else hang,
        break_on_hyphens=False,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _row(finding: Finding) -> str:
    # Never by colour alone: the word stands in the first cell.
    weight = "normal" if finding.severity == "note" else "bold"
    cells = finding.kind, finding.place, finding.message, finding.remedy
    return (
        f'<tr><th scope="row" style="text-align:left;font-weight:{weight}">{finding.severity}</th>'
        + "".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in cells)
        + "</tr>"
    )
