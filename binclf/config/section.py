"""What all sections of the config have in common."""

from __future__ import annotations

import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


def _number_fields(schema: dict[str, Any]) -> None:
    """Give each field its place: a Prefect form is alphabetical otherwise."""
    for place, field in enumerate(schema.get("properties", {}).values()):
        field["position"] = place


class Section(BaseModel):
    """What all sections share: frozen, unknown keys refused, fields shown in source order."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra=_number_fields,
        hide_input_in_errors=True,  # pydantic's own words, as Prefect tells them: there may be a password
    )

    def changed(self, key: str) -> bool:
        """Whether a setting is not its default."""
        return bool(getattr(self, key) != type(self).model_fields[key].default)


def _as_text(value: object) -> object:
    """TOML's true, 1, 0.5 and dates as the text that the user would have written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, int | float | datetime.date):
        return str(value)
    return value


Text = Annotated[str, BeforeValidator(_as_text)]
Names = tuple[str, ...]
