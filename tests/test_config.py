"""A config is one object for TOML, command line and form; nothing in it is ignored, guessed or coerced."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from binclf.config import Config, load, parse
from binclf.errors import ConfigError
from tests.configs import SECTIONS, settings_of, written
from tests.laws import examples


def test_reading_toml_twice_and_through_json_is_the_identity(tmp_path: Path) -> None:
    config = load(written(tmp_path))
    assert load(tmp_path / "made.toml") == config
    assert Config.model_validate_json(config.model_dump_json()) == config
    (tmp_path / "elsewhere").mkdir()
    copy = tmp_path / "elsewhere" / "config.json"
    copy.write_text(json.dumps(config.model_dump(mode="json")))
    assert load(copy) == config
    assert parse(config.model_dump(mode="json")) == config


def test_toml_s_own_dates_booleans_and_numbers_are_taken_as_text(tmp_path: Path) -> None:
    config = load(written(tmp_path))
    assert config.data.positive == "true"
    assert config.split.test_from == "2013-10-01"
    assert config.evaluate.threshold == "0.25"


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ("2013-10-01T08:30:00", "2013-10-01 08:30:00"),
        ("2013-10-01T08:30:00+02:00", "2013-10-01 08:30:00+02:00"),
        ("2013-10-01", "2013-10-01"),
        ("1700000000", "1700000000"),
        ("'2013-10-01'", "2013-10-01"),
    ],
)
def test_a_cut_may_be_a_toml_date(toml: str, text: str) -> None:
    config = parse(settings_of(data={"time": "when"}), ["split.method=time", f"split.test_from={toml}"])
    assert config.split.test_from == text


@pytest.mark.parametrize(
    ("toml", "text"), [("true", "true"), ("false", "false"), ("1", "1"), ("1.5", "1.5"), ("yes", "yes")]
)
def test_a_positive_value_is_the_text_that_was_written(toml: str, text: str) -> None:
    assert parse(settings_of(), [f"data.positive={toml}"]).data.positive == text


def test_all_faults_are_told_at_once() -> None:
    sections = settings_of(split={"method": "none", "seed": 1, "key": ["a"]}, train={"momentum": 0.5})
    with pytest.raises(ConfigError, match=r"split\.seed .*split\.key .*train\.momentum "):
        parse(sections)
    with pytest.raises(ConfigError, match=r"(?s)split\.seed.*train\.epochs.*unknown setting 'train\.epoch'"):
        parse(settings_of(split={"seed": -1}, train={"epochs": 0, "epoch": 3}))


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("train.epoch", "train.epochs"),
        ("train.learningrate", "train.learning_rate"),
        ("split.test_fractoin", "split.test_fraction"),
        ("data.lable", "data.label"),
        ("evaluate.treshold", "evaluate.threshold"),
        ("featuers", "features"),
        ("stores", "store"),
        ("data.class_weight", "train.class_weight"),
        ("train.downsample_majority", "data.downsample_majority"),
    ],
)
def test_an_unknown_setting_is_named_with_a_suggestion(key: str, suggestion: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown setting '{key}': did you mean '{suggestion}'"):
        parse(settings_of(), [f"{key}=1"])


def test_an_unknown_setting_like_nothing_is_named_without_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'train\.zzzzzz'$"):
        parse(settings_of(), ["train.zzzzzz=1"])


def bounded() -> list[tuple[str, str, str, float]]:
    """Each bound of each field: (section, field, which, bound)."""
    found = []
    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            for which in ("ge", "le", "gt", "lt"):
                found += [
                    (section, name, which, bound)
                    for bound in (getattr(m, which, None) for m in field.metadata)
                    if bound is not None
                ]
    return found


@pytest.mark.parametrize(("section", "name", "which", "bound"), bounded())
def test_bounds_are_closed_and_hold(section: str, name: str, which: str, bound: float) -> None:
    assert which in ("ge", "le"), "a form shows closed bounds only"
    field_is_whole = SECTIONS[section].model_fields[name].annotation is int
    step = 1 if field_is_whole else max(abs(bound) * 1e-9, 1e-12)
    beyond = bound - step if which == "ge" else bound + step
    required = {"path": "/d", "label": "y"} if section == "data" else {}
    assert getattr(SECTIONS[section](**{**required, name: bound}), name) == bound
    with pytest.raises(ConfigError, match=rf"{section}\.{name} = "):
        parse(settings_of(**{section: {name: beyond}}))


def test_there_are_bounds_on_every_number() -> None:
    numbers = {
        (section, name)
        for section, model in SECTIONS.items()
        for name, field in model.model_fields.items()
        if field.annotation in (int, float)
    }
    assert {(s, n, w) for s, n, w, _ in bounded()} == {(s, n, w) for s, n in numbers for w in ("ge", "le")}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.epochs=nan", r"train\.epochs = "),
        ("train.l2=nan", r"train\.l2 = nan"),
        ("train.l2=inf", r"train\.l2 = inf"),
        ("split.test_fraction=nan", r"split\.test_fraction = nan"),
        ("train.epochs=2.5", r"train\.epochs = 2\.5"),
        ("train.solver=newtn", r"train\.solver = 'newtn'"),
        ("evaluate.threshold=1.5", r"evaluate\.threshold = 1\.5: it is a probability, 0 to 1, or"),
        ("evaluate.threshold=-0.1", r"evaluate\.threshold = "),
        ("evaluate.threshold=best", r"evaluate\.threshold = 'best'"),
        ("name=Late Flights", r"name = 'Late Flights'"),
        ("name=../x", r"name = "),
        ("data.ids=id", r"data\.ids = 'id'"),
        ("data=3", r"data = 3"),
        ("data.path=ftp://bucket/x", r"data\.path = 'ftp://bucket/x': addresses begin with s3://"),
        ("store=s3://me:word@bucket", r"store holds credentials"),
        ("epochs", r"override 'epochs' is not of the form section\.key=value"),
        ("a.b.c=1", r"override 'a\.b\.c=1' is not of the form"),
        (".epochs=1", r"override '\.epochs=1' is not of the form"),
        ("=1", r"override '=1' is not of the form"),
    ],
)
def test_a_wrong_override_is_named(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(settings_of(), [override])


def test_a_section_that_is_first_a_value_and_then_a_table_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"train"):
        parse(settings_of(), ["train=3", "train.epochs=5"])


def test_overrides_win_over_the_file_and_the_last_over_the_first(tmp_path: Path) -> None:
    path = written(tmp_path)
    config = load(path, ["train.l2=0.5", "train.epochs=3", "train.epochs=4", 'data.ids=["a","b"]'])
    assert config.train.l2 == 0.5
    assert config.train.epochs == 4
    assert config.data.ids == ("a", "b")
    assert config.train.optimizer == "sgd"  # the section's other settings stay
    assert load(path) == load(path, ["train.l2=0.001"])


def test_an_override_s_text_needs_no_quotes() -> None:
    config = parse(settings_of(), ["data.label=late flag", "train.optimizer=sgd", "data.path=/a=b"])
    assert (config.data.label, config.train.optimizer, config.data.path) == ("late flag", "sgd", "/a=b")


def test_paths_in_a_file_are_relative_to_the_file_and_overrides_to_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, here = written(tmp_path), tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    config = load(path)
    assert config.data.path == str(tmp_path / "flights/*.parquet")
    assert config.store == str(tmp_path / "runs")
    moved = load(path, ["data.path=other", "store=place"])
    assert moved.data.path == str(here / "other")
    assert moved.store == str(here / "place")
    assert load("../made.toml") == config


def test_the_default_store_is_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    path = written(tmp_path, 'name = "a"\n[data]\npath = "x"\nlabel = "y"\n')
    assert load(path).store == str(tmp_path / "runs")


def test_home_is_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse(settings_of(data={"path": "~/x"})).data.path == str(tmp_path / "x")


def test_a_config_that_is_no_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"made\.toml is not TOML: .*line 1"):
        load(written(tmp_path, "name = \n"))
    with pytest.raises(ConfigError, match=r"absent\.toml cannot be read"):
        load(tmp_path / "absent.toml")
    (tmp_path / "made.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"made\.toml cannot be read"):
        load(tmp_path / "made.toml")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"a\.json holds no settings"):
        load(tmp_path / "a.json")


def test_what_has_no_default_is_missed_by_name() -> None:
    with pytest.raises(ConfigError, match="'name' is missing"):
        parse({"data": {"path": "x", "label": "y"}})
    with pytest.raises(ConfigError, match=r"'data\.label' is missing"):
        parse({"name": "a", "data": {"path": "x"}})
    with pytest.raises(ConfigError, match="'data' is missing"):
        parse({"name": "a"})


def test_a_config_is_frozen() -> None:
    config = parse(settings_of())
    with pytest.raises(ValueError, match="frozen"):
        config.train.epochs = 3  # type: ignore[misc]


def test_parsing_changes_nothing_that_was_given() -> None:
    given_settings = settings_of(train={"l2": 0.1})
    before = json.dumps(given_settings)
    parse(given_settings, ["train.l2=0.2", "store=elsewhere"])
    assert json.dumps(given_settings) == before


def test_the_form_has_a_place_and_a_help_text_for_each_field_and_no_unions() -> None:
    schema = Config.model_json_schema()
    text = json.dumps(schema)
    for word in ("anyOf", "oneOf", "exclusiveMinimum", "exclusiveMaximum", '"null"'):
        assert word not in text
    every: list[tuple[str, type[BaseModel]]] = [*SECTIONS.items(), ("config", Config)]
    for name, model in every:
        fields = (schema if model is Config else schema["$defs"][model.__name__])["properties"]
        assert list(fields) == list(model.model_fields), name
        assert [field["position"] for field in fields.values()] == list(range(len(fields)))
        if model is not Config:
            assert all(field.get("description") for field in fields.values()), name
            shown = {n for n, field in fields.items() if "default" in field}
            assert shown == {n for n, field in model.model_fields.items() if not field.is_required()}


@examples(60)
@given(
    st.fixed_dictionaries(
        {
            "test_fraction": st.floats(0.001, 0.499),
            "validation_fraction": st.floats(0.0, 0.499),
            "seed": st.integers(0, 2**63 - 1),
            "stratify": st.booleans(),
        }
    ),
    st.fixed_dictionaries(
        {"l2": st.floats(0, 1e6), "epochs": st.integers(1, 10**6), "learning_rate": st.floats(0, 1000)}
    ),
    st.text(min_size=1, max_size=10).filter(lambda text: text != "y"),
)
def test_any_valid_settings_survive_json(split: dict[str, Any], train: dict[str, Any], name: str) -> None:
    config = parse(settings_of(split=split, train=train, data={"ids": [name]}))
    assert config.data.ids == (name,)
    assert config.split.seed == split["seed"]
    assert parse(json.loads(config.model_dump_json())) == config
