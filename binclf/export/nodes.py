"""Nodes of an ONNX graph, as they are added: each is known by the name of its one output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

OWN = "binclf/"  # how the graph's own names begin
DAYS_TO_MARCH_0 = 719468.0  # from 0000-03-01 to 1970-01-01


class Nodes:
    """A growing graph; `onnx` is the package."""

    def __init__(self, onnx: Any) -> None:  # noqa: ANN401 - a module
        """Nothing yet."""
        self.onnx = onnx
        self.int64 = onnx.TensorProto.INT64
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.parts: dict[tuple[str, str, int], str] = {}

    def add(self, operation: str, *inputs: str, output: str = "", **attributes: Any) -> str:  # noqa: ANN401
        """Add a node; returns its output's name."""
        output = output or f"{OWN}{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(operation, list(inputs), [output], **attributes))
        return output

    def constant(self, values: npt.NDArray[Any]) -> str:
        """Add a constant: doubles, int64 or bools."""
        name = f"{OWN}constant/{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(values, name))
        return name

    def look_up(self, value: str, keys: dict[str, Any], places: list[int], default: int) -> str:
        """The place of a key, int64; `keys` is the attribute that has them."""
        attributes = {**keys, "values_int64s": places, "default_int64": default, "domain": "ai.onnx.ml"}
        return self.add("LabelEncoder", value, **attributes)

    def place_among(self, edges: Sequence[float], value: str) -> str:
        """How many of ascending edges a finite value reaches, int64, by halving.

        A round for each power of two; to compare a value with each edge would take as many times the memory.
        """
        rounds = len(edges).bit_length()
        padded = self.constant(np.array([*edges, *[np.inf] * (2**rounds - 1 - len(edges))]))
        place = self.constant(np.array(0))
        for power in reversed(range(rounds)):
            further = self.add("Add", place, self.constant(np.array(2**power)))
            edge = self.add("Gather", padded, self.add("Sub", further, self.constant(np.array(1))))
            place = self.add("Where", self.add("GreaterOrEqual", value, edge), further, place)
        return place

    def over(self, value: str, divisor: float) -> str:
        """A quotient."""
        return self.add("Div", value, self.constant(np.array(divisor)))

    def floored(self, value: str, divisor: float) -> str:
        """A quotient rounded down."""
        return self.add("Floor", self.over(value, divisor))

    def plus(self, value: str, addend: float) -> str:
        """A sum with a constant."""
        return self.add("Add", value, self.constant(np.array(addend)))

    def modulo(self, value: str, divisor: float) -> str:
        """What is left of a whole number: never negative."""
        whole = self.add("Mul", self.floored(value, divisor), self.constant(np.array(divisor)))
        return self.add("Sub", value, whole)

    def part(self, seconds: str, part: str, offset: int) -> str:
        """The hour, weekday (Monday is 0) or month of seconds since 1970, plus an offset in seconds."""
        key = (seconds, part, offset)
        if key not in self.parts:
            wall = self.plus(seconds, float(offset))
            days = self.floored(wall, 86400.0)
            if part == "hour":
                self.parts[key] = self.modulo(self.floored(wall, 3600.0), 24.0)
            elif part == "weekday":
                self.parts[key] = self.modulo(self.plus(days, 3.0), 7.0)  # 1970 began on a Thursday
            else:
                self.parts[key] = self._month(days)
        return self.parts[key]

    def _month(self, days: str) -> str:
        """The month of days since 1970 (Hinnant's civil_from_days: years from March, eras of 400 years)."""
        of_era = self.modulo(self.plus(days, DAYS_TO_MARCH_0), 146097.0)
        leap = self.add("Sub", self.floored(of_era, 1460.0), self.floored(of_era, 36524.0))
        leap = self.add("Add", leap, self.floored(of_era, 146096.0))
        year = self.floored(self.add("Sub", of_era, leap), 365.0)
        before = self.add("Mul", year, self.constant(np.array(365.0)))
        before = self.add("Add", before, self.floored(year, 4.0))
        before = self.add("Sub", before, self.floored(year, 100.0))
        day = self.add("Sub", of_era, before)  # from 1 March
        five = self.plus(self.add("Mul", day, self.constant(np.array(5.0))), 2.0)
        month = self.floored(five, 153.0)  # from 0, March
        return self.plus(self.modulo(self.plus(month, 2.0), 12.0), 1.0)
