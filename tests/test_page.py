"""The page needs nothing, runs only its own script, and can be read; the card tells what model.json has."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from binclf import artifact, report
from binclf.config import parse
from binclf.evaluate import of_parts
from binclf.features import CategoricalColumn
from binclf.parquet import Column
from binclf.report import card, changes, page
from binclf.report.blocks import Table
from binclf.report.facts import Facts, gather, previous_run
from binclf.report.numbers import UNKNOWN
from binclf.report.svg import ALONE
from binclf.retrain import retrain
from tests.evaluated import evaluated
from tests.trained import on_disk, people, settings, write

EVIL = "<script>alert(1)</script>"
QUOTED = "a\"b'c & <b>"
BROKEN = "line\nbreak\r\x1b[31m"
TURNED = "\u202egnp.exe\u2066"
VOID = {"meta", "input", "br", "img", "link", "hr"}


class Page(HTMLParser):
    """The elements of a page, as a browser would find them: name, attributes and own text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[tuple[str, dict[str, str], list[str]]] = []
        self.unclosed: list[str] = []
        self.feed(text)
        self.close()
        self.unclosed += [name for name, _, _ in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        element = (tag, {key: value or "" for key, value in attrs}, list[str]())
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element of SVG that holds nothing."""
        self.elements.append((tag, {key: value or "" for key, value in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        """An element ends, which must be the last that began."""
        if self._open and self._open[-1][0] == tag:
            self._open.pop()
        else:
            self.unclosed.append(tag)

    def handle_data(self, data: str) -> None:
        """Text, which all open elements hold."""
        for element in self._open:
            element[2].append(data)

    def all(self, *names: str) -> Iterator[tuple[str, dict[str, str], str]]:
        """The elements of these names, in the order of the page."""
        return ((n, a, "".join(t)) for n, a, t in self.elements if n in names or not names)

    def text(self, identity: str) -> str:
        """What stands in the element with an id, with single blanks."""
        return next(" ".join(t.split()) for _, a, t in self.all() if a.get("id") == identity)


@pytest.fixture(scope="module")
def hostile_run(tmp_path_factory: pytest.TempPathFactory) -> artifact.Run:
    """A run whose columns, levels and label have names that would break a page."""
    folder = tmp_path_factory.mktemp("hostile")
    random = np.random.default_rng(5)
    level = random.choice([EVIL, QUOTED, BROKEN, TURNED, "|x|`y`"], 600)
    x = random.normal(size=600)
    y = (random.random(600) < 1 / (1 + np.exp(-x - (level == EVIL)))).astype(int)
    numbers = pa.array(x, mask=random.random(600) < 0.1)
    columns = {QUOTED: numbers, BROKEN: pa.array(level.tolist()), TURNED: pa.array(x**2), "y": pa.array(y)}
    path = write(folder / "data & <i>.parquet", pa.table(columns))
    config = {"name": "hostile", "store": str(folder / "runs"), "data": {"path": str(path), "label": "y"}}
    return artifact.open_run(on_disk(retrain(parse({**config, "registry": {"uri": "off"}}))))


@pytest.fixture(scope="module")
def hostile(hostile_run: artifact.Run) -> Facts:
    """Its facts, with everything there can be: slices, thresholds, and a comparison."""
    random = np.random.default_rng(6)
    p = random.uniform(0.01, 0.99, 500)
    y = (random.random(500) < p).astype(float)
    levels = random.choice([EVIL, QUOTED, BROKEN, TURNED], 500)
    found = evaluated({"train": (p, y), "test": (np.where(levels == EVIL, 1 - p, p), y)}, {EVIL: levels})
    measure = {"champion": 0.5, "challenger": 0.49, "difference": -0.01, "interval": [-0.02, 0.0]}
    comparison = {"verdict": EVIL, "log_loss": measure, EVIL: TURNED, "slices": {EVIL: [{"level": BROKEN}]}}
    return replace(gather(hostile_run, found), comparison=comparison)


@pytest.fixture(scope="module")
def html(hostile: Facts) -> str:
    return page.html(hostile)


@pytest.fixture(scope="module")
def parsed(html: str) -> Page:
    return Page(html)


def test_nothing_of_the_data_is_an_element_or_an_attribute_of_the_page(html: str, parsed: Page) -> None:
    assert not parsed.unclosed
    scripts = [(a.get("type", ""), a.get("id", "")) for _, a, _ in parsed.all("script")]
    assert scripts == [("application/json", "thresholds"), ("", "")]
    assert {"i", "b"}.isdisjoint(name for name, _, _ in parsed.elements)
    assert "alert(1)" in html
    assert EVIL not in html
    for mark in ("\u202e", "\u2066", "\x1b", "\r"):
        assert mark not in html
    assert "\\u202egnp.exe\\u2066" in html
    assert "line\\nbreak" in html
    for _, attributes, _ in parsed.all():
        assert not any(name.startswith("on") or name == "style" for name in attributes)


def test_the_page_names_no_address_and_refuses_all_but_its_own_style_and_script(
    html: str, parsed: Page
) -> None:
    assert not re.search(r"(?i)(https?:)?//[a-z]", html.replace("// ", ""))
    for name, attributes, _ in parsed.all():
        assert name not in ("link", "img", "iframe", "object", "embed", "base", "form")
        assert "src" not in attributes
        assert attributes.get("href", "#").startswith("#")
    policy = next(a["content"] for _, a, _ in parsed.all("meta") if "http-equiv" in a)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for tag, rule in (("style", "style-src"), ("script", "script-src")):
        (content,) = [text for _, a, text in parsed.all(tag) if "type" not in a]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_ids_are_unique_and_what_points_at_one_finds_it(parsed: Page) -> None:
    ids = [a["id"] for _, a, _ in parsed.all() if "id" in a]
    assert len(ids) == len(set(ids))
    for _, attributes, _ in parsed.all():
        targets = [attributes[key].removeprefix("#") for key in ("href", "for") if key in attributes]
        targets += [
            name
            for key in ("aria-labelledby", "aria-describedby")
            for name in attributes.get(key, "").split()
        ]
        targets += re.findall(r"url\(#(.+?)\)", attributes.get("clip-path", ""))
        assert set(targets) <= set(ids)


def test_headings_are_in_order_and_the_first_is_the_verdict(parsed: Page, hostile: Facts) -> None:
    levels = [int(name[1]) for name, _, _ in parsed.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    (title,) = [text for _, _, text in parsed.all("h1")]
    assert title == report.verdict(hostile.metrics, hostile.comparison).title


def test_each_chart_has_a_name_and_says_in_words_what_it_shows(parsed: Page) -> None:
    charts = [a for _, a, _ in parsed.all("svg") if a.get("class") == "chart"]
    assert [a["id"] for a in charts] == [
        f"{n}-chart" for n in ("calibration", "scores", "gains", "roc", "pr")
    ]
    for attributes in charts:
        assert attributes["role"] == "img"
        assert parsed.text(attributes["aria-labelledby"])
        assert parsed.text(attributes["aria-describedby"])
    inside = {
        a.get("fill", "") + a.get("stroke", "") for n, a, _ in parsed.all("path", "use", "text", "rect")
    }
    assert not [colour for colour in inside if "#" in colour]  # colours are the style sheet's
    words = {text for _, _, text in parsed.all("text")}
    assert {"predicted", "came true", "positive", "negative", "100%"} <= words


def test_tables_name_their_columns_and_their_rows(parsed: Page) -> None:
    assert {a["scope"] for _, a, _ in parsed.all("th")} == {"row", "col"}
    for _, attributes, text in parsed.all("input", "button"):
        assert text or "id" in attributes


def test_the_page_tells_all_that_was_asked_of_it(hostile: Facts, parsed: Page) -> None:
    sections = {a["id"]: " ".join(text.split()) for _, a, text in parsed.all("section")}
    assert list(sections) == [
        "metrics", "calibration", "slices", "threshold", "champion", "trained", "coefficients", "columns",
        "changes", "optimum", "receipts", "again",
    ]  # fmt: skip
    run = hostile.run
    assert f"binclf retrain {run.path}/config.json" in sections["again"]
    weights = hashlib.sha256((run.path / "model.safetensors").read_bytes()).hexdigest()
    assert weights in sections["again"]
    assert "Proven: within" in sections["optimum"]
    assert f"read {run.split.receipt['rows']:,}" in sections["receipts"]
    assert "the store has no earlier run of hostile" in sections["changes"]
    first = parsed.text("slices-table").split("Recall")[1]
    assert first.strip().startswith(f"{EVIL} = {EVIL} worse than its base rate")
    points = next(text for _, a, text in parsed.all("script") if a.get("id") == "thresholds")
    thresholds = [point["threshold"] for point in json.loads(points)]
    assert thresholds == sorted(thresholds)
    assert hostile.judged["threshold"] in thresholds
    told = run.record["inference"]["categorical"][BROKEN][f"level {EVIL}"]
    assert (
        f"{told['odds_ratio']:.2f} {told['odds_low']:.2f} to {told['odds_high']:.2f}"
        in sections["coefficients"]
    )
    assert "missing" in sections["coefficients"]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours (WCAG 2.2)."""

    def luminance(colour: str) -> float:
        channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_all_colours_can_be_read_in_light_and_dark() -> None:
    sheet = files("binclf.report").joinpath("page.css").read_text()
    schemes = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", part)) for part in sheet.split("@media")[:2]]
    assert schemes[0].keys() == schemes[1].keys()
    for scheme in schemes:
        for ground in ("ground", "raised"):
            for ink in ("ink", "quiet", "one", "two", "link", "good", "care", "stop"):
                assert contrast(scheme[ink], scheme[ground]) >= 4.5, (ink, ground)
        for level in ("good", "care", "stop"):
            assert contrast(scheme[level], scheme[f"{level}-ground"]) >= 4.5, level
    assert {role: schemes[0][role] for role in ALONE} == ALONE
    assert min(contrast(ALONE[role], "#ffffff") for role in ("ink", "quiet", "one", "two")) >= 4.5


def test_thousands_of_weights_are_cut_and_the_rest_is_counted(hostile: Facts) -> None:
    levels = tuple(f"{number:05}" + "<" * 200 for number in range(5000))
    column = CategoricalColumn(
        "wide", "text", Column("wide", "text", "string"), levels, 0, False, 3, 7, 2, 5002, 0
    )
    entry = {
        "levels": {level: 0.001 * place for place, level in enumerate(levels)},
        "missing": 0.1,
        "other": 0.2,
    }
    features = replace(hostile.run.features, categorical=(column,), numeric=())
    record = {**hostile.run.record, "categorical": {"wide": entry}, "numeric": {}}
    slices = {"wide": [{**hostile.judged["slices"][EVIL][0], "level": level} for level in levels]}
    metrics = {**hostile.metrics, "test": {**hostile.judged, "slices": slices}}
    text = page.html(
        replace(hostile, run=replace(hostile.run, features=features, record=record), metrics=metrics)
    )
    assert len(text.encode()) < 2_000_000
    assert "And 4,602 more: see model.json" in text
    assert "And 4,800 more: see metrics.json, test.slices." in text


def test_the_page_and_the_card_have_the_same_bytes_each_time(trained_run: Path) -> None:
    run = artifact.open_run(trained_run)
    facts = gather(run, of_parts(run))
    assert page.html(facts) == (trained_run / "report.html").read_text()
    assert card.text(facts) == (trained_run / "card.md").read_text()


def test_what_is_undefined_is_told_as_such(hostile: Facts) -> None:
    nothing = {
        "rows": 0, "weight": 0.0, "positive_rate": None, "log_loss": None, "base_log_loss": None,
        "roc_auc": None, "undefined": {"log_loss": "no rows", "roc_auc": "no rows"}, "threshold": 0.5,
    }  # fmt: skip
    facts = replace(hostile, metrics={"test": nothing}, pictures={"test": {}}, comparison=None)
    parsed = Page(page.html(facts))
    assert [text for _, _, text in parsed.all("h1")] == ["Not judged."]
    assert f"ROC-AUC 0.5 is chance, 1 perfect order {UNKNOWN} no rows" in parsed.text("metrics-table")
    assert "| Log-loss | undefined |" in card.text(facts)
    one_class = evaluated({"test": (np.linspace(0.1, 0.9, 50), np.ones(50))})
    text = page.html(replace(hostile, metrics=one_class["metrics"], pictures=one_class["pictures"]))
    assert "only one class has rows with weight" in text


def test_where_rows_hang_together_the_intervals_are_said_to_be_of_groups(
    hostile: Facts, parsed: Page
) -> None:
    config = hostile.run.config
    grouped = config.model_copy(update={"data": config.data.model_copy(update={"group": "customer"})})
    found = {part: {**own, "units": 41.7} for part, own in hostile.metrics.items()}
    told = Page(page.html(replace(hostile, run=replace(hostile.run, config=grouped), metrics=found)))
    assert "Rows with one value of customer hang together" in told.text("metrics")
    assert "tell as much as 42 of equal weight" in told.text("metrics")
    assert "hang together" not in parsed.text("metrics")


def test_rare_events_and_a_lone_row_can_be_drawn(hostile: Facts) -> None:
    random = np.random.default_rng(8)
    p = random.uniform(0.0001, 0.004, 5000)
    rare = evaluated({"test": (p, (random.random(5000) < p).astype(float))}, threshold=0.9)
    lone = evaluated({"test": (np.array([0.3]), np.array([1.0]))})
    for found in (rare, lone):
        facts = replace(hostile, metrics=found["metrics"], pictures=found["pictures"])
        assert len([1 for _, a, _ in Page(page.html(facts)).all("svg") if a.get("class") == "chart"]) >= 4


def test_the_card_tells_what_model_json_has(trained_run: Path) -> None:
    text, run = (trained_run / "card.md").read_text(), artifact.open_run(trained_run)
    for fact in (
        run.id, run.record["created"], f"binclf {run.record['binclf']}",
        f"Answers whether {run.record['label']} is True",
        f"from a probability of {run.record['threshold']:g} on", f"{run.split.rows('train'):,} train",
    ):  # fmt: skip
        assert fact in text
    assert text.splitlines()[2].startswith(f"**{report.verdict_of(trained_run).title}**")
    assert len(text.splitlines()) < 60


def test_text_of_the_data_cannot_break_the_card(hostile: Facts) -> None:
    text = card.text(hostile)
    assert "<script" not in text.replace("\\<", "")
    assert not re.search(r"[^\S\n ]|[\u202a-\u202e\u2066-\u2069]", text)


def test_the_card_can_carry_its_pictures(trained_run: Path) -> None:
    text = report.card_with_pictures(trained_run)
    pictures = re.findall(r"!\[([a-z]+)\]\(data:image/svg\+xml;base64,([^)]+)\)", text)
    page_text = (trained_run / "report.html").read_text()
    assert [name for name, _ in pictures] == re.findall(r'class="chart" id="([a-z]+)-chart"', page_text)
    assert len(pictures) >= 3
    for _, data in pictures:
        root = ET.fromstring(base64.b64decode(data))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert float(root.attrib["width"]) > float(root.attrib["height"]) > 100  # else MLflow shows none
        assert not [e for e in root.iter() if e.tag.endswith("script")]


def test_a_run_is_set_beside_the_one_before_it(tmp_path: Path) -> None:
    """The same name in the same store, begun earlier; columns and levels that came and went are named."""
    before = people(900, seed=3)
    now = people(1000, seed=3).drop_columns(["code"]).append_column("new", pa.array(np.arange(1000.0)))
    income = now.column("income")
    now = now.set_column(now.column_names.index("income"), "income", [[v.as_py() * 8 for v in income]])
    runs = []
    for number, table in enumerate((before, now)):
        data = write(tmp_path / f"{number}.parquet", table)
        features = {"categorical": ["code"]} if number == 0 else {"categorical": []}
        runs.append(on_disk(retrain(settings(data, tmp_path / "store", features=features))))
        stamp = runs[-1].name.split("-")[1:3]
        runs[-1] = runs[-1].rename(runs[-1].with_name(f"people-{stamp[0]}-00000{number}-abcdef"))
    shutil.copytree(runs[0], runs[0].with_name("people-other-20990101-000000-abcdef"))
    run, first = (replace(artifact.open_run(path), path=path) for path in reversed(runs))
    assert previous_run(first)[0] is None
    found, reason = previous_run(run)
    assert (found.path if found else None, reason) == (runs[0], "")
    text = " ".join(Page(page.html(gather(run, of_parts(run)))).text("changes").split())
    assert "900" not in text.split(".")[0]
    assert "New columns: new. Columns that went: code." in text
    (shift,) = re.findall(r"income \+([\d.]+) ", text)
    assert float(shift) == pytest.approx(np.log(8) / first.features.numeric[1].deviation, rel=0.1)
    (runs[0] / "model.json").write_text("{}")
    assert "cannot be read" in previous_run(run)[1]


def counted(levels: dict[str, int], rare: int, missing: int) -> CategoricalColumn:
    """A column `wide` with so many rows of each level."""
    column, names = Column("wide", "text", "string"), tuple(levels)
    return CategoricalColumn(
        "wide", "text", column, names, 0, False, missing, rare, int(rare > 0), len(levels), 0,
        tuple(levels.values()),
    )  # fmt: skip


def set_beside(hostile: Facts, now: CategoricalColumn, then: CategoricalColumn, rows: int) -> list[str]:
    """What the report tells of `wide`, whose levels weigh 1, 2 ...; cell by cell."""
    features = [
        replace(hostile.run.features, categorical=(own,), numeric=(), rows=rows) for own in (now, then)
    ]
    entry = {"levels": {n: k + 1.0 for k, n in enumerate(now.levels)}, "missing": -1.0, "other": 0.5}
    record = {**hostile.run.record, "categorical": {"wide": entry}, "numeric": {}}
    run = replace(hostile.run, features=features[0], record=record)
    facts = replace(hostile, run=run, previous=replace(hostile.run, features=features[1]))
    (table,) = [block for block in changes.section(facts).blocks if isinstance(block, Table)]
    (row,) = table.rows
    return [f"{cell.text} {cell.note}".strip() + f"{'!' if cell.mark else ''}" for cell in row]


def test_shares_of_levels_that_moved_are_told_and_what_that_adds_to_the_score(hostile: Facts) -> None:
    now, then = counted({"a": 500, "c": 300}, 100, 100), counted({"a": 700, "b": 200}, 50, 50)
    told = set_beside(hostile, now, then, 1000)
    # of the rare ones up to 9 (features.min_count is 10) may have been of a level that is not known
    pairs = [(0.5, 0.7), (0.3, 0.009), (0.009, 0.2), (0.1, 0.05), (0.1, 0.05)]
    index = sum((a - b) * np.log(a / b) for a, b in pairs)
    adds = (0.5 - 0.7) * 1 + 0.3 * 2 - 0.2 * 0.5 + 0.05 * 0.5 - 0.05
    assert told == [
        "wide", "", f"{index:.2f}!", "+30 points c", f"+{adds:.3f}".rstrip("0") + "!", "10.0%", "5.00%",
        "1 c", "1 b",
    ]  # fmt: skip


def test_shares_that_stayed_have_an_index_of_none_and_unknown_ones_are_not_told(hostile: Facts) -> None:
    same = counted({"a": 500, "b": 400}, 0, 100)
    assert set_beside(hostile, same, same, 1000)[2:5] == ["0", "", "0"]
    old = replace(same, level_rows=())  # of a run that did not count them
    assert set_beside(hostile, same, old, 1000)[2:5] == ["", "", ""]


def test_where_none_are_rare_a_level_that_came_had_no_row(hostile: Facts) -> None:
    now, then = counted({"a": 500, "b": 400}, 0, 100), counted({"a": 1000}, 0, 0)
    index = sum((a - b) * np.log(a / b) for a, b in [(0.5, 1), (0.4, 0.0005), (0.1, 0.0005)])
    assert set_beside(hostile, now, then, 1000)[2] == f"{index:.2f}!"


@pytest.mark.parametrize("levels", [100, 1000, 5000])
def test_samples_of_one_distribution_are_no_drift_however_many_levels_are_rare(
    levels: int, hostile: Facts
) -> None:
    draw, odds = np.random.default_rng(levels), 1 / np.arange(1, levels + 1)

    def sample(odds: np.ndarray) -> CategoricalColumn:
        rows = np.bincount(draw.choice(levels, 8000, p=odds / odds.sum()), minlength=levels)
        known = {str(level): int(rows[level]) for level in np.flatnonzero(rows >= 10)}
        return counted(known, int(rows[rows < 10].sum()), 0)

    then = sample(odds)
    index = set_beside(hostile, sample(odds), then, 8000)[2]
    assert float(index) < 0.06
    assert set_beside(hostile, sample(np.roll(odds, 3)), then, 8000)[2].endswith("!")


def test_what_few_rows_make_of_an_index_is_not_marked(hostile: Facts) -> None:
    now, then = counted({"a": 12, "b": 6}, 0, 2), counted({"a": 8, "b": 12}, 0, 0)
    index = set_beside(hostile, now, then, 20)[2]
    assert float(index) > 0.25


def test_a_rule_for_the_threshold_is_told_with_its_costs(hostile: Facts) -> None:
    record: dict[str, Any] = {**hostile.run.record, "threshold_rule": "cost(fp=1,fn=5)", "threshold": 0.31}
    facts = replace(hostile, run=replace(hostile.run, record=record))
    parsed = Page(page.html(facts))
    assert "chosen on validation by cost(fp=1,fn=5)" in parsed.text("threshold")
    given = {a["id"]: a["value"] for _, a, _ in parsed.all("input") if a.get("type") == "number"}
    assert given == {"cost-fp": "1", "cost-fn": "5"}
    assert "chosen on validation by cost(fp=1,fn=5)" in card.text(facts)


def test_a_rule_that_chose_no_threshold_is_told(hostile: Facts) -> None:
    rule, reason = "precision>=0.9", "precision 0.9 is not reached: the best is 0.6312"
    record = {**hostile.run.record, "threshold_rule": rule, "threshold_amiss": reason, "threshold": 2.0}
    metrics = {"test": {**hostile.judged, "threshold": 2.0, "slices": {}}}
    facts = replace(hostile, run=replace(hostile.run, record=record), metrics=metrics, comparison=None)
    parsed = Page(page.html(facts))
    assert any("so no row is decided yes. More" in text for _, _, text in parsed.all("li"))
    assert f"No row is decided yes, as {rule} can choose no threshold: {reason}." in parsed.text("threshold")


def test_a_slice_with_too_many_levels_and_rows_without_one_are_told(hostile: Facts) -> None:
    level = {**hostile.judged["slices"][EVIL][0], "level": None}
    reasons = {"slices.many": "it has more than 200 values"}
    metrics = {"test": {**hostile.judged, "slices": {"many": None, "few": [level]}, "undefined": reasons}}
    parsed = Page(page.html(replace(hostile, metrics=metrics)))
    text = parsed.text("slices")
    assert "many is told for no level: it has more than 200 values." in text
    assert "few is missing" in text
