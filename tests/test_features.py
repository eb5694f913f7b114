"""Features: the same bits whoever learns them, what is a feature, and what is written down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binclf.errors import ArtifactError, ConfigError, DataError
from binclf.features import Features
from tests import made
from tests.laws import examples
from tests.learnt import Data, data_of, table_of

# Any ranks


PARTITIONS: list[list[list[int]]] = [
    [[6, 0, 3, 1, 5, 2, 4]],
    [[0, 2, 4, 6], [1, 3, 5]],
    [[], [0, 1, 2, 3, 4, 5, 6]],
    [[6], [5, 4], [3, 2, 1, 0]],
    [[0, 1, 2, 3, 4, 5, 6], [], []],
]


@pytest.mark.parametrize("hands", PARTITIONS)
@pytest.mark.parametrize(
    "features",
    [
        {},
        {"impute": "mean", "log1p": ["whole"]},
        {"max_levels": 3, "hash_bits": 8},
        {"impute": "zero", "standardise": False, "missing_indicator": False, "min_count": 40},
    ],
)
def test_any_ranks_learn_the_same_bits(
    features: dict[str, Any], hands: list[list[int]], tmp_path: Path
) -> None:
    exclude = ["who", "time", "id"]
    sections: dict[str, Any] = {"features": features, "data": {"weight": "w", "exclude": exclude}}
    data = data_of(tmp_path, made.mixed(650), **sections)
    assert data.groups == 7
    alone, together = data.learn(), data.learn(hands)
    assert json.dumps(together.as_json()) == json.dumps(alone.as_json())
    assert alone.rows == 650


@examples(15)
@given(st.lists(st.integers(0, 3), min_size=7, max_size=7))
def test_any_deal_of_row_groups_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, owners: list[int]
) -> None:
    data = _shared(tmp_path_factory)
    hands = [[group for group, owner in enumerate(owners) if owner == rank] for rank in range(4)]
    assert json.dumps(data.learn(hands).as_json()) == json.dumps(data.learn().as_json())


_SHARED: list[Data] = []


def _shared(factory: pytest.TempPathFactory) -> Data:
    if not _SHARED:
        exclude = ["who", "time", "id"]
        sections: dict[str, Any] = {
            "data": {"weight": "w", "exclude": exclude},
            "features": {"max_levels": 3},
        }
        _SHARED.append(data_of(factory.mktemp("shared"), made.mixed(650, seed=8), **sections))
    return _SHARED[0]


# Roles


def test_undecidable_columns_are_all_listed(tmp_path: Path) -> None:
    table = table_of(
        when=made.mixed(4)["time"], list=[[1]] * 4, bytes=[b"x"] * 4, x=[1.0] * 4, void=pa.nulls(4)
    )
    listed = r"'when' \(timestamp\[us\]\), 'list' \(list<.*>\), 'bytes' \(binary\), 'void' \(null\)"
    words = f"columns {listed} are neither numbers nor categories"
    with pytest.raises(DataError, match=words):
        data_of(tmp_path, table)


def test_types_decide_and_declarations_win(tmp_path: Path) -> None:
    features = {"numeric": ["time"], "categorical": ["small", "flag"]}
    data = data_of(
        tmp_path, made.mixed(50), data={"ids": ["id"], "exclude": ["w"], "group": "who"}, features=features
    )
    assert [c.name for c in data.roles.numeric] == ["number", "single", "whole", "time"]
    assert [c.name for c in data.roles.categorical] == ["small", "flag", "word", "carrier"]


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({"numeric": ["word"]}, "features.numeric names column 'word', which is string: boolean, integer"),
        ({"categorical": ["number"]}, "features.categorical names column 'number', which is double"),
        ({"log1p": ["word"]}, "features.log1p names column 'word', which is no numeric feature"),
    ],
)
def test_declarations_must_fit(features: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        data_of(tmp_path, made.mixed(10), data={"exclude": ["time"]}, features=features)


def test_no_feature_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column is left to be a feature"):
        data_of(tmp_path, table_of(x=[1.0, 2.0]), data={"exclude": ["x"]})


# Records


def test_features_survive_json(tmp_path: Path) -> None:
    data = data_of(
        tmp_path,
        made.mixed(300),
        data={"exclude": ["who", "time", "id"], "weight": "w"},
        features={"max_levels": 3},
    )
    features = data.learn()
    text = json.dumps(features.as_json(), allow_nan=False)
    again = Features.from_json(json.loads(text))
    assert again == features
    assert json.dumps(again.as_json()) == text


def test_edited_features_are_refused(tmp_path: Path) -> None:
    record = data_of(tmp_path, table_of(x=[1.0, 2.0], c=["a", "b"])).learn().as_json()
    edits: list[dict[str, Any]] = [{"numeric": [{"name": "x"}]}, {"categorical": None}, {"numeric": [3]}]
    for edit in edits:
        with pytest.raises(
            ArtifactError, match=r"features\.json is of another version or was edited .*again"
        ):
            Features.from_json(record | edit)
    del record["rows"]
    with pytest.raises(ArtifactError, match=r"KeyError\('rows'\)"):
        Features.from_json(record)


def test_the_encoder_takes_its_constants_from_the_record_alone(tmp_path: Path) -> None:
    data = data_of(tmp_path, table_of(x=[1.0, None, 3.0, 6.0]), 4)
    features = data.learn()
    column = replace(features.numeric[0], centre=1.0, scale=2.0, fill=5.0)
    x, _ = data.encode(replace(features, numeric=(column,)))
    assert x.tolist() == [[0.0, 0.0], [2.0, 1.0], [1.0, 0.0], [2.5, 0.0]]
