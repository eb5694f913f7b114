"""Law 5: TOML, the command line and Prefect's form are one config, with the same bounds and order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.hydration import HydrationContext, hydrate
from prefect.utilities.schema_tools.validation import ValidationError, validate

from binclf.config import Config, Data, Drift, Evaluate, Features, Registry, Score, Split, Train, load, parse
from binclf.errors import ConfigError
from flows.backtest import backtest
from flows.forms import Advanced, config_of, parameters_of, score_settings_of
from flows.nightly import nightly
from flows.retrain import retrain
from flows.score import score
from tests.ranks import as_toml, small_job

SECTIONS = {
    model.__name__: model for model in (Data, Split, Features, Train, Evaluate, Score, Registry, Drift)
}
SCHEMA: dict[str, Any] = parameter_schema(retrain).model_dump_for_openapi()


def form_of(config: Config) -> dict[str, Any]:
    return parameters_of(config)


def config_from(form: dict[str, Any]) -> Config:
    """What the flow makes of a form that was submitted."""
    given = retrain.validate_parameters(form)
    return config_of(given["name"], given["data"], given["advanced"])


def refuse(values: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        validate(values, SCHEMA, raise_on_error=True)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"train": {"epochs": 7, "l2": 0.25, "optimizer": "sgd", "momentum": 0.5, "batch_rows": 2**30}},
        {"split": {"method": "hash", "key": ["id", "town"], "seed": 2**63 - 1}},
        {"split": {"method": "none"}, "features": {"log1p": ["b"], "standardise": False}},
        {"data": {"positive": "Ávila's \U0001f600"}, "evaluate": {"threshold": "0.25"}},
    ],
)
def test_toml_to_config_to_json_to_the_form_and_back_is_the_identity(
    tmp_path: Path, sections: dict[str, Any]
) -> None:
    config = small_job(tmp_path, **sections)
    path = tmp_path / "small.toml"
    path.write_text(as_toml(config), encoding="utf-8")
    from_toml = load(path)
    assert from_toml == config
    submitted = hydrate(form_of(from_toml), HydrationContext())
    validate(submitted, SCHEMA, raise_on_error=True)
    assert config_from(submitted) == config


def test_the_settings_that_a_night_scores_by_are_those_of_its_config(tmp_path: Path) -> None:
    told = {"columns": ["Ávila's \U0001f600", 'a "b"\n\\'], "contributions": 3, "bad_limit": 1e-7}
    config = small_job(tmp_path, score=told | {"on_bad_row": "quarantine"})
    plain = small_job(tmp_path)
    assert parse(plain.model_dump(), score_settings_of(config)) == plain.model_copy(
        update={"score": config.score}
    )
    assert parse(config.model_dump(), score_settings_of(plain)) == plain


def models_of_schema() -> dict[str, dict[str, Any]]:
    return dict(SCHEMA["definitions"])


def test_the_form_shows_every_field_in_the_order_of_the_source() -> None:
    models = models_of_schema()
    assert set(models) == {"Advanced", *SECTIONS}
    for name, model in {"Advanced": Advanced, **SECTIONS}.items():
        shown, fields = models[name]["properties"], list(model.model_fields)
        assert sorted(shown, key=lambda key: shown[key]["position"]) == fields
        assert [shown[key]["position"] for key in fields] == list(range(len(shown)))


def test_the_form_has_no_unions_no_nulls_and_no_free_mappings() -> None:
    for model in models_of_schema().values():
        assert model["additionalProperties"] is False
        for field in model["properties"].values():
            assert not {"anyOf", "oneOf"} & set(field), field
            assert field.get("type") != "object"


def test_few_fields_stand_first_and_every_setting_of_a_config_is_in_the_form_once() -> None:
    fields = SCHEMA["properties"]
    order = sorted(fields, key=lambda key: fields[key]["position"])
    assert order == ["name", "data", "when", "limit_hours", "advanced"]
    assert {"name", "data", *Advanced.model_fields} == set(Config.model_fields)
    for name, field in Advanced.model_fields.items():
        assert (field.annotation, field.default, field.description) == (
            Config.model_fields[name].annotation,
            Config.model_fields[name].default,
            Config.model_fields[name].description,
        )


def test_the_form_describes_every_setting() -> None:
    for name, model in models_of_schema().items():
        assert len(model["description"]) > 10, name  # the section's own, where the property has none
        for key, field in model["properties"].items():
            if name != "Advanced" or key == "store":
                assert len(field["description"]) > 10, f"{name}.{key}"
    for flow in (retrain, score, nightly, backtest):
        for key, field in parameter_schema(flow).model_dump_for_openapi()["properties"].items():
            assert len(field.get("description", "")) > 10 or "$ref" in field, f"{flow.name}: {key}"


def test_the_form_has_the_bounds_and_choices_of_the_config() -> None:
    models = models_of_schema()
    train, split = models["Train"]["properties"], models["Split"]["properties"]
    assert (train["epochs"]["minimum"], train["epochs"]["maximum"]) == (1, 1_000_000)
    assert (split["test_fraction"]["minimum"], split["test_fraction"]["maximum"]) == (0.001, 0.499)
    assert train["optimizer"]["enum"] == ["sgd", "adam", "adagrad"]
    assert split["method"]["enum"] == ["random", "hash", "time", "column", "none"]
    assert "exclusiveMinimum" not in str(SCHEMA)  # the browser stops ge and le, not gt and lt
    assert SCHEMA["required"] == ["name", "data"]
    assert models["Data"]["required"] == ["path", "label"]
    hours = SCHEMA["properties"]["limit_hours"]
    assert (hours["minimum"], hours["maximum"], hours["default"]) == (0.0, 1000.0, 24.0)
    assert SCHEMA["properties"]["when"]["enum"] == ["changed", "new_data", "worthwhile", "always"]


def test_a_form_that_submits_every_default_is_accepted(tmp_path: Path) -> None:
    minimal = parse({"name": "m", "data": {"path": str(tmp_path), "label": "y"}})
    validate(form_of(minimal), SCHEMA, raise_on_error=True)
    assert config_from(form_of(minimal)) == minimal


def test_what_no_form_can_check_names_its_settings(tmp_path: Path) -> None:
    form = form_of(small_job(tmp_path))
    form["advanced"]["split"] |= {"method": "hash", "key": []}
    validate(form, SCHEMA, raise_on_error=True)
    with pytest.raises(ConfigError, match=r"form: split\.method = 'hash' needs split\.key"):
        config_from(form)


def test_prefect_itself_refuses_what_the_config_refuses(tmp_path: Path) -> None:
    good = form_of(small_job(tmp_path))

    def changed(section: str, key: str, value: Any) -> dict[str, Any]:
        if section == "data":
            return good | {"data": good["data"] | {key: value}}
        rest = good["advanced"]
        return good | {"advanced": rest | {section: rest[section] | {key: value}}}

    validate(good, SCHEMA, raise_on_error=True)
    refuse(changed("train", "epohcs", 3), "epohcs")
    refuse(changed("train", "epochs", 0), "0 is less than the minimum of 1")
    refuse(changed("train", "lanes", 65537), "65537 is greater than the maximum of 65536")
    refuse(changed("split", "test_fraction", 0.5), r"0\.5 is greater than the maximum")
    refuse(changed("train", "optimizer", "lion"), "'lion' is not one of")
    refuse(changed("evaluate", "threshold", "half"), "'half' does not match")
    refuse(changed("data", "label", None), "None is not of type 'string'")
    refuse({"name": "x"}, "'data' is a required property")
    refuse(good | {"name": "Late Flights"}, "'Late Flights' does not match")
    refuse(good | {"when": "sometimes"}, "'sometimes' is not one of")
    refuse(good | {"limit_hours": -1}, "-1 is less than the minimum of 0")


def test_the_score_form_asks_for_three_texts() -> None:
    schema = parameter_schema(score).model_dump_for_openapi()
    fields = schema["properties"]
    order = sorted(fields, key=lambda key: fields[key]["position"])
    assert order == ["model", "source", "output", "registry", "settings", "parts"]
    assert [fields[key]["type"] for key in order] == ["string"] * 4 + ["array", "integer"]
    assert schema["required"] == ["model", "source", "output"]


def test_the_form_of_a_night_asks_first_what_is_scored_and_passes_on_when_to_retrain() -> None:
    schema = parameter_schema(nightly).model_dump_for_openapi()
    fields = schema["properties"]
    order = sorted(fields, key=lambda key: fields[key]["position"])
    assert order == ["name", "source", "output", "data", "retraining", "advanced"]
    assert schema["required"] == order[:4]
    asked = schema["definitions"]["Retraining"]["properties"]
    assert list(asked) == ["days", "new_files", "when"]
    assert (asked["days"]["minimum"], asked["days"]["maximum"]) == (0.0, 3650.0)
    assert asked["when"]["enum"] == SCHEMA["properties"]["when"]["enum"]
    for field in asked.values():
        assert len(field["description"]) > 10
        assert not {"anyOf", "oneOf"} & set(field)


def test_every_preset_is_a_config() -> None:
    root = Path(__file__).parents[1]
    for path in sorted((root / "deployments").glob("*.toml")):
        assert load(path).name, path
