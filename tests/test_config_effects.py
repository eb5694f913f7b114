"""A setting has an effect, or is refused by name; and those that contradict each other are."""

from __future__ import annotations

from typing import Any

import pytest

from binclf.config import Split, parse
from binclf.config.rules import SPLIT_READS
from binclf.errors import ConfigError
from tests.configs import NEEDED, OTHER_VALUES, settings_of


def without_effect() -> list[tuple[str, str]]:
    return [
        (method, key) for method, reads in SPLIT_READS.items() for key in OTHER_VALUES if key not in reads
    ]


def test_every_setting_of_split_is_tried() -> None:
    assert set(OTHER_VALUES) == set(Split.model_fields) - {"method"}
    assert set(SPLIT_READS) == set(NEEDED)
    fractions = {"test_fraction", "validation_fraction"}
    assert {
        "random": fractions | {"seed", "stratify"},
        "hash": fractions | {"seed", "key"},
        "time": fractions | {"test_from", "validation_from"},
        "column": {"column"},
        "none": set(),
    } == SPLIT_READS
    assert all(reads <= set(OTHER_VALUES) for reads in SPLIT_READS.values())


@pytest.mark.parametrize(("method", "key"), without_effect())
def test_a_setting_without_effect_is_refused_by_name(method: str, key: str) -> None:
    needed = NEEDED[method]
    split = {**needed.get("split", {}), "method": method, key: OTHER_VALUES[key]}
    words = rf"split\.{key} has no effect with split\.method = '{method}': remove it"
    with pytest.raises(ConfigError, match=words):
        parse(settings_of(data=needed.get("data", {}), split=split))


@pytest.mark.parametrize("method", sorted(SPLIT_READS))
def test_a_form_that_submits_every_default_is_taken(method: str) -> None:
    needed = NEEDED[method]
    split = {**Split().model_dump(), **needed.get("split", {}), "method": method}
    config = parse(settings_of(data=needed.get("data", {}), split=split))
    whole = config.model_dump(mode="json")
    assert parse(whole) == config


@pytest.mark.parametrize(
    ("method", "key"), [(m, k) for m, reads in SPLIT_READS.items() for k in sorted(reads)]
)
def test_a_setting_that_is_read_is_taken(method: str, key: str) -> None:
    needed = NEEDED[method]
    split = {**needed.get("split", {}), "method": method, key: OTHER_VALUES[key]}
    config = parse(settings_of(data=needed.get("data", {}), split=split))
    value = getattr(config.split, key)
    assert (list(value) if isinstance(value, tuple) else value) == OTHER_VALUES[key]


CONTRADICTIONS: list[tuple[dict[str, dict[str, Any]], str]] = [
    ({"split": {"method": "hash"}}, r"split\.method = 'hash' needs split\.key"),
    ({"split": {"method": "column"}}, r"split\.method = 'column' needs split\.column"),
    ({"split": {"method": "time"}}, r"split\.method = 'time' needs data\.time"),
    (
        {"data": {"time": "t"}, "split": {"method": "time", "test_from": "2024-01-01", "test_fraction": 0.3}},
        r"split\.test_fraction has no effect beside split\.test_from",
    ),
    (
        {
            "data": {"time": "t"},
            "split": {"method": "time", "validation_from": "2024-01-01", "validation_fraction": 0.3},
        },
        r"split\.validation_fraction has no effect beside split\.validation_from",
    ),
    (
        {"data": {"time": "t", "group": "g"}, "split": {"method": "time"}},
        r"data\.group cannot hold with split\.method = 'time'",
    ),
    (
        {"data": {"group": "g"}, "split": {"method": "hash", "key": ["k"]}},
        r"data\.group = 'g' holds only if split\.key = \['g'\]",
    ),
    (
        {"data": {"group": "g"}, "split": {"stratify": False}},
        r"split\.stratify has no effect with data\.group",
    ),
    ({"data": {"weight": "y"}}, r"column 'y' is in data\.label and in data\.weight"),
    ({"data": {"ids": ["y"]}}, r"column 'y' is in data\.label and in data\.ids"),
    ({"data": {"ids": ["a", "a"]}}, r"column 'a' is in data\.ids and in data\.ids"),
    ({"data": {"exclude": ["y"]}}, r"column 'y' is in data\.label and in data\.exclude"),
    ({"features": {"numeric": ["y"]}}, r"column 'y' is in data\.label and in features\.numeric"),
    (
        {"features": {"numeric": ["a"], "categorical": ["a"]}},
        r"column 'a' is in features\.numeric and in features\.categorical",
    ),
    ({"data": {"time": "y"}}, r"column 'y' is data\.label and data\.time"),
    (
        {"data": {"time": "t"}, "features": {"numeric": ["t"]}},
        r"column 't' is data\.time, so it is never a feature",
    ),
    (
        {"data": {"group": "g"}, "features": {"categorical": ["g"]}},
        r"column 'g' is data\.group, so it is never a feature",
    ),
    (
        {"features": {"categorical": ["a"], "log1p": ["a"]}},
        r"features\.log1p names 'a', which is in features\.categorical",
    ),
    (
        {"data": {"exclude": ["a"]}, "features": {"log1p": ["a"]}},
        r"features\.log1p names 'a', which is in data\.exclude",
    ),
    ({"train": {"momentum": 0.9}}, r"train\.momentum has no effect with train\.optimizer = 'adam'"),
    ({"train": {"shuffle": False, "seed": 1}}, r"train\.seed has no effect with train\.shuffle = false"),
    (
        {"train": {"shuffle": False, "window_rows": 5}},
        r"train\.window_rows has no effect with train\.shuffle = false",
    ),
    (
        {"split": {"method": "none"}, "train": {"patience": 5}},
        r"train\.patience has no effect without validation rows",
    ),
    (
        {"split": {"validation_fraction": 0}, "train": {"patience": 5}},
        r"train\.patience has no effect without validation",
    ),
    ({"train": {"ranks": 64}}, r"train\.ranks = 64 needs train\.lanes >= 64, not 32"),
]


@pytest.mark.parametrize(("sections", "words"), CONTRADICTIONS)
def test_contradictions_are_refused_by_name(sections: dict[str, dict[str, Any]], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(settings_of(**sections))
