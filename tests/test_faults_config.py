"""Whatever somebody writes into a config, a form or an override: a config, or an error in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.config import Config, load, parse
from binclf.errors import ConfigError
from tests.configs import TOML, settings_of, written
from tests.laws import examples

SECTIONS: dict[str, list[str]] = {
    name: list(getattr(field.annotation, "model_fields", ())) for name, field in Config.model_fields.items()
}
SECTIONS = {name: keys for name, keys in SECTIONS.items() if keys}
KEYS = sorted({key for keys in SECTIONS.values() for key in keys})

ODD = [
    "", "~nobody-of-that-name/x", "s3://", "s3://b/../x", "file://", "a\0b", "\x1b[31m", "//", "2024-13-45",
    "sqlite:///", "\ud800", "models:/x@y", "inf", "-0", "cost(fp=,fn=)", "precision>=2", "*" * 300,
]  # fmt: skip
TEXTS = st.text(max_size=20) | st.sampled_from(ODD)
NUMBERS = st.one_of(st.integers(), st.floats(), st.booleans(), st.none())
VALUES = st.recursive(
    NUMBERS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | TEXTS, inner, max_size=3)
    ),
    max_leaves=5,
)


def told(call: Callable[[], Config]) -> tuple[Config | None, str]:
    """The config, or the words of its refusal; any other exception fails the test."""
    try:
        return call(), ""
    except ConfigError as error:
        return None, str(error) or "nothing"


@examples(400)
@given(data=st.data())
def test_any_settings_are_a_config_or_refused(data: st.DataObject) -> None:
    settings: dict[str, Any] = settings_of()
    for section, keys in SECTIONS.items():
        if data.draw(st.integers(0, 3)):
            continue
        own = data.draw(st.dictionaries(st.sampled_from(keys), VALUES, max_size=3))
        settings[section] = {**settings.get(section, {}), **own} if data.draw(st.integers(0, 9)) else own
    for key in data.draw(st.lists(st.sampled_from([*Config.model_fields, "else"]), max_size=1)):
        settings[key] = data.draw(VALUES)
    config, words = told(lambda: parse(settings))
    assert words != "nothing"
    assert len(words) < 20_000
    if config is not None:
        assert parse(json.loads(config.model_dump_json())) == config


@examples(200)
@given(key=st.sampled_from([f"{s}.{k}" for s, ks in SECTIONS.items() for k in ks]) | TEXTS, text=TEXTS)
def test_any_override_is_a_config_or_refused(key: str, text: str) -> None:
    config, words = told(lambda: parse(settings_of(), [f"{key}={text}"]))
    assert (config is None) == bool(words)


ENDLESS = [
    "[" * 100_000, "{a=" * 50_000, "1" * 10_000, "1e999999", "0x" + "f" * 10_000, '"\\ud800"', "2024-02-30",
    "[1, 2", "'" * 5, "\0", "1\ntrain.epochs = 3", "1\n[registry]\nuri = 'off'", "a\nb",
]  # fmt: skip


@pytest.mark.parametrize("text", ENDLESS, ids=lambda text: ascii(text[:12]))
@pytest.mark.parametrize("key", ["train.epochs", "data.label", "data.ids", "store"])
def test_a_value_without_end_or_of_several_lines_is_one_value_or_refused(key: str, text: str) -> None:
    config, words = told(lambda: parse(settings_of(), [f"{key}={text}"]))
    assert len(words) < 2000  # cut, whatever the value
    if config is not None:
        assert config.train.epochs == parse(settings_of()).train.epochs
        assert config.registry == parse(settings_of()).registry
        assert (config.data.label == text) == (key == "data.label")


DEEP = ["[" * 100_000, "a = " + "[" * 100_000, "a = " + "9" * 10_000, "a = 1\na = 2"]


@pytest.mark.parametrize("text", DEEP, ids=lambda text: text[:8])
def test_a_file_without_end_is_named(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"made\.toml is not TOML"):
        load(written(tmp_path, text))
    (tmp_path / "deep.json").write_text(text)
    with pytest.raises(ConfigError, match=r"deep\.json is not JSON"):
        load(tmp_path / "deep.json")


@examples(60)
@given(data=st.data())
def test_a_file_of_any_bytes_is_a_config_or_named(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = bytearray(TOML.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path = tmp_path_factory.mktemp("bytes") / "made.toml"
    path.write_bytes(content)
    config, words = told(lambda: load(path))
    assert config is not None or any(
        own in words for own in ("made.toml", "credentials", "data.path", "store")
    )
