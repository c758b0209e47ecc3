"""Answers are kept whatever happens around them, and shown whatever the files hold."""

import json
import os
import re
import stat
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

import pytest

from bnlab.exercises import Verdict, answers, hand_in, progress
from bnlab.exercises.arithmetic_mistakes import ARITHMETIC
from bnlab.exercises.verdict import HEADS, Status

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
EPS = next(mistake for mistake in ARITHMETIC if mistake.slug == "eps-outside-root")
PASSED, OPEN = Verdict("forward", "passed"), Verdict("forward", "not yet")
WRONG = Verdict("forward", "mistaken", (EPS,))


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where answers are kept in this test."""
    monkeypatch.delenv("NBGRADER_EXECUTION", raising=False)
    monkeypatch.setenv("BNLAB_PROGRESS", str(tmp_path / "progress.json"))
    return tmp_path / "progress.json"


def kept(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def markdown(source: str, **more: str) -> dict[str, object]:
    lines = source.splitlines(keepends=True)
    return {"cell_type": "markdown", "metadata": {}, "source": lines, **more}


def check(key: str) -> dict[str, object]:
    graded = {"nbgrader": {"grade": True, "grade_id": key}}
    return {"cell_type": "code", "metadata": graded, "source": f'hand_in("{key}", verdict)'}


def write(path: Path, *cells: dict[str, object]) -> None:
    path.write_text(json.dumps({"cells": cells, "nbformat": 4}), encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two notebooks with exercises, and one without."""
    write(
        tmp_path / "02-build.ipynb",
        markdown("# 02 · Build `it`\n\nWords."),
        markdown("### Write it yourself: the forward pass\n\n```\n# no heading\n```", id="ask"),
        {"cell_type": "code", "metadata": {}, "source": "# no heading either"},
        check("02-forward"),
        markdown("text", id="more"),
        check("02-update"),
    )
    write(tmp_path / "06-watch.ipynb", markdown("# Watch"))
    write(
        tmp_path / "10-find.ipynb",
        markdown("# Find the bug\n\n## Mend it: a <mean> of $\\mu$"),
        check("10-mean"),
    )
    return tmp_path


class Page(HTMLParser):
    """Text, links and tags; all that opens is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open += [] if tag == "br" else [tag]
        self.links += [value for name, value in attrs if name == "href" and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


# What is kept


@pytest.mark.parametrize("status", HEADS)
def test_every_verdict_is_given_back_and_all_but_unanswered_ones_are_kept(
    file: Path, status: Status
) -> None:
    found = (EPS,) if status == "mistaken" else ()
    verdict = Verdict("forward", status, found, complete=status != "mistaken")
    assert hand_in("02-forward", verdict) is verdict
    if status == "not yet":
        assert not file.exists()
        return
    mistakes = ["eps-outside-root", "other"] if status == "mistaken" else []
    entry = {"status": status, "mistakes": mistakes, "day": date.today().isoformat()}
    assert kept(file) == {"02-forward": entry}
    assert [path.name for path in file.parent.iterdir()] == ["progress.json"]


def test_the_last_answer_counts_but_what_was_passed_stays_passed(file: Path) -> None:
    for verdict, status in [
        (WRONG, "mistaken"),
        (OPEN, "mistaken"),
        (Verdict("forward", "raises"), "raises"),
        (PASSED, "passed"),
        (WRONG, "passed"),
        (OPEN, "passed"),
    ]:
        hand_in("02-forward", verdict)
        assert kept(file)["02-forward"]["status"] == status


def test_answers_are_kept_beside_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notebooks").mkdir()
    monkeypatch.delenv("BNLAB_PROGRESS")
    monkeypatch.chdir(tmp_path / "notebooks")
    hand_in("02-forward", PASSED)
    assert list(kept(tmp_path / "notebooks" / "progress.json")) == ["02-forward"]


def test_answers_kept_beside_notebooks_are_seen_from_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BNLAB_PROGRESS")
    monkeypatch.chdir(folder)
    key = progress().next[1].key  # type: ignore[index]
    hand_in(key, PASSED)
    monkeypatch.chdir(folder.parent)
    assert progress(folder).states[key].kind == "passed"


@pytest.mark.parametrize("status", HEADS)
def test_nbgrader_learns_of_every_verdict_but_passed_from_an_error(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: Status,
) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    verdict = Verdict("forward", status)
    if status == "passed":
        # It would take a value for points, and holds a line on stderr to be an error.
        assert hand_in("02-forward", verdict) is None
        assert capsys.readouterr() == (f"{verdict}\n", "")
    else:
        with pytest.raises(AssertionError, match=re.escape(HEADS[status])):
            hand_in("02-forward", verdict)
    assert not file.exists()


def test_what_a_later_version_notes_stays(file: Path) -> None:
    later = {"02-update": {"status": "brilliant", "tries": 3}, "02-forward": {"tries": 7}}
    file.write_text(json.dumps(later), encoding="utf-8")
    hand_in("02-forward", WRONG)
    assert kept(file)["02-update"] == later["02-update"]
    assert kept(file)["02-forward"]["tries"] == 7
    assert kept(file)["02-forward"]["status"] == "mistaken"


def test_a_file_saved_by_an_editor_that_marks_its_beginning_is_read(file: Path) -> None:
    file.write_text('{"02-update": {"status": "passed"}}', encoding="utf-8-sig")
    hand_in("02-forward", PASSED)
    assert list(kept(file)) == ["02-forward", "02-update"]


@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_stays_a_link(file: Path, tmp_path: Path, dangling: bool) -> None:
    (tmp_path / "synchronised").mkdir()
    target = tmp_path / "synchronised" / "answers.json"
    if not dangling:
        target.write_text("{}")
    file.symlink_to(target)
    hand_in("02-forward", PASSED)
    assert file.is_symlink()
    assert list(kept(target)) == ["02-forward"]


def test_who_may_read_the_file_stays(file: Path) -> None:
    file.write_text("{}")
    file.chmod(0o640)
    hand_in("02-forward", PASSED)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_no_answer_is_lost_where_notebooks_hand_in_at_once(file: Path) -> None:
    keys = [f"02-{number}" for number in range(48)]
    with ThreadPoolExecutor(8) as notebooks:
        list(notebooks.map(lambda key: hand_in(key, PASSED), keys))
    assert sorted(kept(file)) == sorted(keys)


def test_what_a_crash_left_is_no_obstacle(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PATIENCE", 0.05)
    file.with_name("progress.json.part").write_text('{"02-fo')
    hand_in("02-forward", PASSED)
    assert list(kept(file)) == ["02-forward"]
    assert [path.name for path in file.parent.iterdir()] == ["progress.json"]


def test_a_crash_while_writing_leaves_the_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_in("02-forward", WRONG)
    before = file.read_text()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(answers.shutil, "copymode", interrupt)
    with pytest.raises(KeyboardInterrupt):
        hand_in("02-forward", PASSED)
    assert file.read_text() == before
    assert [path.name for path in file.parent.iterdir()] == ["progress.json"]


BROKEN = {
    "cut off": '{"02-forward": {"stat',
    "empty": "",
    "a list": "[1, 2]",
    "no entries": '{"02-forward": "passed"}',
    "not text": b"\xff\xfe\x00\x01",
    "too deep": "[" * 100_000,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=list(BROKEN))
def test_a_broken_file_is_named_and_left_alone_and_the_exercises_are_shown(
    folder: Path, file: Path, content: str | bytes
) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    file.write_bytes(data)
    with pytest.warns(UserWarning, match="this answer is not kept: ") as warned:
        assert hand_in("02-forward", PASSED) is PASSED
    seen = progress(folder)
    for text in str(warned[0].message), " ".join(seen.problems), seen_text(seen):
        assert str(file) in text
        assert "Mend it, or give it another name to start anew" in text
    assert warned[0].filename == __file__
    assert file.read_bytes() == data
    assert not file.with_name("progress.json.part").exists()
    assert seen.count("open") == 3


def seen_text(seen: object) -> str:
    """What it looks like as text, without the breaks of lines, once the page says the same."""
    text = " ".join(repr(seen).split())
    page = " ".join(Page(seen._repr_html_()).text.split())  # type: ignore[attr-defined]
    for said in text.split("! ")[1:]:
        assert said in page
    return text


@pytest.mark.parametrize("place", ["missing/progress.json", "a-file/progress.json", "a-folder"])
def test_a_place_that_cannot_be_written_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (folder / "a-folder").mkdir()
    (folder / "a-file").touch()
    monkeypatch.setenv("BNLAB_PROGRESS", str(folder / place))
    with pytest.warns(UserWarning, match="name another file in the environment variable") as warned:
        assert hand_in("02-forward", PASSED) is PASSED
    assert str(folder / place) in str(warned[0].message)
    assert progress(folder).count("open") == 3


@pytest.mark.skipif(os.name == "nt", reason="folders have no such permission there")
def test_a_folder_that_may_not_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with TemporaryDirectory() as name, ExitStack() as afterwards:
        write(Path(name, "02-build.ipynb"), check("02-forward"))
        monkeypatch.setenv("BNLAB_PROGRESS", f"{name}/progress.json")
        hand_in("02-old", PASSED)
        assert progress(name).elsewhere == ("02-old",)
        Path(name).chmod(0o555)
        afterwards.callback(Path(name).chmod, 0o755)
        if os.geteuid() == 0:  # who may write everywhere
            os.seteuid(65534)
            afterwards.callback(os.seteuid, 0)
        with pytest.warns(UserWarning, match="Permission denied"):
            hand_in("02-forward", PASSED)
        assert progress(name).count("open") == 1
        hand_in("02-old", PASSED)  # without a warning: nothing is to be written


# What is shown


def test_without_answers_everything_is_open(folder: Path, file: Path) -> None:
    seen = progress(folder)
    assert repr(seen) == (
        "0 of 3 exercises passed, 3 open\n"
        f"{'░' * 46}\n\n"
        "02 Build it\n"
        "  ○ The forward pass (open)\n"
        "  ○ The forward pass (open)\n\n"
        "10 Find the bug\n"
        "  ○ A <mean> of $\\mu$ (open)\n\n"
        f"Next: The forward pass, in {folder.as_posix()}/02-build.ipynb\n"
        "Your answers will be kept in progress.json, on this machine and nowhere else. "
        "The file is\nyours: delete it, and they are forgotten."
    )
    assert not file.exists()


def test_each_state_is_told_by_sign_and_word_and_colour(folder: Path) -> None:
    hand_in("02-forward", PASSED)
    hand_in("10-mean", WRONG)
    seen = progress(folder)
    page = seen._repr_html_()
    assert [seen.count(kind) for kind in ("passed", "tried", "open")] == [1, 1, 1]
    text = Page(page).text
    for said in f"passed {date.today()}", "not right yet", EPS.says, "open":
        assert said in repr(seen)
        assert said in text
    signs = {"✓": "#009E73", "✗": "#D55E00", "○": "#808080"}
    for tile in re.findall("<li.*?</li>", page):
        (sign,) = [sign for sign in signs if sign in tile]
        assert signs[sign] in tile
        assert sign in repr(seen)
    assert len(re.findall("<li.*?</li>", page)) == 3
    assert "1 of 3 exercises passed, 1 not right yet, 1 open" in text


def test_the_page_survives_where_scripts_and_style_sheets_do_not(folder: Path) -> None:
    seen = progress(folder)
    page = Page(seen._repr_html_())
    assert page.tags <= {"div", "p", "strong", "table", "tbody", "tr", "th", "td", "ul", "li",
                         "a", "br", "span", "code"}  # fmt: skip
    assert "a <mean>".capitalize() in page.text


def test_links_lead_to_the_exercise(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    seen = progress()
    assert Page(seen._repr_html_()).links == [
        "02-build.ipynb",
        "02-build.ipynb#cell-id=ask",
        "02-build.ipynb#cell-id=ask",
        "10-find.ipynb",
        "10-find.ipynb",
        "02-build.ipynb#cell-id=ask",
    ]


def test_the_next_step_is_the_first_open_exercise_and_then_the_first_wrong_one(
    folder: Path,
) -> None:
    expected = [("02-forward", "02-update"), ("02-update", "10-mean"), ("10-mean", "02-update")]
    for key, following in expected:
        hand_in(key, WRONG if key == "02-update" else PASSED)
        step = progress(folder).next
        assert step is not None
        assert step[1].key == following
    hand_in("02-update", PASSED)
    seen = progress(folder)
    assert seen.next is None
    assert "Next:" not in repr(seen) + seen._repr_html_()
    assert "3 of 3 exercises passed\n" in repr(seen)


def test_answers_to_other_exercises_are_mentioned_and_kept(folder: Path, file: Path) -> None:
    assert "not in these notebooks" not in repr(progress(folder))
    hand_in("99-gone", PASSED)
    seen = progress(folder)
    assert seen.count("passed") == 0
    assert "not in these notebooks stay in the file: 99-gone." in repr(seen)
    assert "99-gone" in kept(file)


def test_answers_of_a_later_version_are_shown_as_they_are(folder: Path, file: Path) -> None:
    later = {
        "02-forward": {"status": "nearly", "mistakes": ["new-<slug>", "other"]},
        "02-update": {"status": ["passed"], "mistakes": "none", "day": 7},
        "10-mean": {"status": "passed"},
    }
    file.write_text(json.dumps(later), encoding="utf-8")
    seen = progress(folder)
    said = {key: (state.kind, state.says, state.wrong) for key, state in seen.states.items()}
    assert said == {
        "02-forward": ("tried", "nearly", "new-<slug>. Something else, too."),
        "02-update": ("tried", "['passed']", ""),
        "10-mean": ("passed", "passed", ""),
    }
    assert "new-<slug>." in Page(seen._repr_html_()).text


UNREADABLE = {
    "cut off": '{"cells": [',
    "a list": "[]",
    "an old format": '{"worksheets": []}',
    "strange cells": '{"cells": [1, 2]}',
    "a strange check": '{"cells": [{"cell_type": "code", "metadata": {"nbgrader": []}}]}',
    "too deep": "[" * 100_000,
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=list(UNREADABLE))
def test_a_notebook_that_cannot_be_read_is_named_and_the_others_are_shown(
    folder: Path, content: str
) -> None:
    (folder / "04-compare.ipynb").write_text(content)
    seen = progress(folder)
    assert seen.count("open") == 3
    assert "! 04-compare.ipynb cannot be read: " in seen_text(seen)


def test_a_copy_of_a_notebook_counts_once_and_the_original_is_linked(folder: Path) -> None:
    text = (folder / "02-build.ipynb").read_text()
    (folder / "02-build-Copy1.ipynb").write_text(text)
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "02-build-checkpoint.ipynb").write_text(text)
    seen = progress(folder)
    assert seen.count("open") == 3
    assert [Path(lesson.link).name for lesson in seen.lessons] == [
        "02-build.ipynb",
        "10-find.ipynb",
    ]


def test_a_folder_without_exercises_says_so(tmp_path: Path) -> None:
    seen = progress(tmp_path)
    assert repr(seen).startswith("There is no exercise in these notebooks.")
    assert "There is no exercise in these notebooks." in Page(seen._repr_html_()).text


# The collection's own notebooks


def checks() -> list[tuple[str, str, str]]:
    """Notebook, key and source of every check."""
    found = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            graded = cell["metadata"].get("nbgrader", {})
            if graded.get("grade"):
                found.append((path.name, graded["grade_id"], "".join(cell["source"])))
    return found


def test_every_check_hands_in_under_its_own_name() -> None:
    assert checks()
    for name, key, source in checks():
        assert source.splitlines()[-1] == f'hand_in("{key}", verdict)'
        assert key.startswith(name[:3])
    assert [key for key, count in Counter(key for _, key, _ in checks()).items() if count > 1] == []


def test_every_exercise_of_the_collection_is_shown_under_a_title_of_its_own() -> None:
    seen = progress(NOTEBOOKS)
    assert seen.problems == ()
    assert list(seen.states) == [key for _, key, _ in checks()]
    for lesson in seen.lessons:
        titles = [task.title for task in lesson.tasks]
        assert len(set(titles)) == len(titles)
        for task in lesson.tasks:
            assert task.title != task.key
            assert ":" not in task.title


def test_links_lead_to_the_cell_with_the_title() -> None:
    for lesson in progress(NOTEBOOKS).lessons:
        for task in lesson.tasks:
            path, _, place = unquote(task.link).partition("#cell-id=")
            cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
            (cell,) = [cell for cell in cells if cell["id"] == place]
            assert task.title.lower() in "".join(cell["source"]).lower()


def test_the_first_notebook_was_saved_with_nothing_answered() -> None:
    cells = json.loads((NOTEBOOKS / "00-start-here.ipynb").read_text(encoding="utf-8"))["cells"]
    (view,) = [cell for cell in cells if cell["source"] == ["progress()"]]
    (output,) = view["outputs"]
    text = "".join(output["data"]["text/plain"])
    assert text.startswith("0 of ")
    assert "✓" not in text
    assert "✗" not in text
