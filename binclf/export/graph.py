"""A formula as an ONNX graph, from raw columns to probability and decision, in double precision throughout.

Each column of the table is an input [N, 1] of its name: text is a string, everything else a double (moments
and durations in seconds, booleans 0 and 1). A missing number is NaN. ONNX knows no missing text: what stands
for it, `<null>` unless a level has that name, is told by the input's description and the model's metadata. An
infinite number and log-odds beyond the doubles, which `predict_proba` refuses, give NaN.

Outputs, each [N]: `probability` (double), `decision` (bool).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from binclf.calibration import AS_THEY_ARE, Steps
from binclf.errors import ConfigError
from binclf.export.formula import Formula, Levels, Number, offset_of, probabilities_of
from binclf.export.nodes import OWN, Nodes
from binclf.export.verify import Scores, engine
from binclf.parquet import Rows, values_of, zone_of

EXACT = 2.0**53  # integers below are exact as doubles
OPSET, ML_OPSET, IR = 17, 3, 8  # of 2022: read by ONNX Runtime since 1.12


def content(formula: Formula) -> bytes:
    """The graph's bytes.

    Raises:
        ConfigError: a column cannot be said in ONNX, or the package onnx is not installed.
    """
    _refuse(formula)
    onnx = engine("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    null = null_text(formula)
    nodes = Nodes(onnx)
    parts = [nodes.constant(np.array([[formula.intercept]]))]
    if formula.numbers:
        parts.append(_numbers(nodes, formula))
    parts += [_levels(nodes, term, null) for term in formula.levels]
    # [rows, 1] each; Sum has no double kernel everywhere, Add has
    logit = parts[0]
    for part in parts[1:]:
        logit = nodes.add("Add", logit, part)
    flat = nodes.add("Reshape", logit, nodes.constant(np.array([-1])))
    _probability(nodes, formula, flat)
    nodes.add("GreaterOrEqual", "probability", nodes.constant(np.array(formula.threshold)), output="decision")
    texts = _texts(formula)
    inputs = [
        helper.make_tensor_value_info(
            name,
            types.STRING if name in texts else types.DOUBLE,
            ["rows", 1],
            f"text; '{null}' where it is missing" if name in texts else "number; NaN where it is missing",
        )
        for name in formula.reads
    ]
    outputs = [
        helper.make_tensor_value_info("probability", types.DOUBLE, ["rows"]),
        helper.make_tensor_value_info("decision", types.BOOL, ["rows"]),
    ]
    made = helper.make_graph(nodes.nodes, formula.name, inputs, outputs, nodes.constants)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=IR, producer_name="binclf")
    helper.set_model_props(model, {"run": formula.run, "missing_text": null})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _probability(nodes: Nodes, formula: Formula, logit: str) -> None:
    """The output of that name, [rows], from the logit: NaN where that is not finite."""
    calibration = formula.calibration
    beyond = nodes.add("Or", nodes.add("IsNaN", logit), nodes.add("IsInf", logit))
    found = nodes.add("Where", beyond, nodes.constant(np.array(0.0)), logit)
    if isinstance(calibration, Steps):
        place = nodes.place_among(calibration.edges, found)
        found = nodes.add("Gather", nodes.constant(np.array(probabilities_of(calibration))), place)
    else:
        if calibration != AS_THEY_ARE:
            sloped = nodes.add("Mul", found, nodes.constant(np.array(calibration.slope)))
            found = nodes.plus(sloped, calibration.intercept)
        found = nodes.add("Sigmoid", found)
    nodes.add("Where", beyond, nodes.constant(np.array(np.nan)), found, output="probability")


def null_text(formula: Formula) -> str:
    """What stands for a missing text: no level's name."""
    found = "<null>"
    while any(found in term.weights for term in formula.levels):
        found = f"<{found}>"
    return found


def scores(file: Path, formula: Formula) -> Callable[[Rows], Scores]:
    """The written graph as a function of rows."""
    runtime = engine("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def run(rows: Rows) -> Scores:
        probability, decision = session.run(["probability", "decision"], inputs_of(formula, rows))
        return probability, decision

    return run


def inputs_of(formula: Formula, rows: Rows) -> dict[str, npt.NDArray[Any]]:
    """Rows as the graph takes them, each [N, 1]."""
    null, texts = null_text(formula), _texts(formula)
    codes_of = {term.column.column.source for term in formula.levels if term.column.kind == "integer"}
    inputs: dict[str, npt.NDArray[Any]] = {}
    for name in formula.reads:
        if name in texts:
            codes, values = rows.codes(name)
            inputs[name] = np.array([*values, null], dtype=object)[codes][:, None]
        elif name in codes_of:  # `numbers` refuses integers that it would round; here those are no levels
            codes, values = rows.codes(name)
            inputs[name] = np.array([*map(float, values), np.nan])[codes][:, None]
        else:
            inputs[name] = rows.numbers(name)[:, None]
    return inputs


def _texts(formula: Formula) -> set[str]:
    """Columns that are fed as strings."""
    return {term.column.name for term in formula.levels if term.column.kind == "text"}


def _numbers(nodes: Nodes, formula: Formula) -> str:
    """All numeric terms at once, [rows, 1]."""
    columns = [_read(nodes, term) for term in formula.numbers]
    raw = nodes.add("Concat", *columns, axis=1)
    is_missing = nodes.add("IsNaN", raw)
    infinite = nodes.add("IsInf", raw)
    values = nodes.add("Where", infinite, nodes.constant(np.array(np.nan)), raw)
    is_log1p = np.array([[term.column.is_log1p for term in formula.numbers]])
    if is_log1p.any():
        logs = nodes.add("Log", nodes.add("Add", nodes.constant(np.array(1.0)), nodes.add("Abs", values)))
        signed = nodes.add("Mul", nodes.add("Sign", values), logs)
        values = nodes.add("Where", nodes.constant(is_log1p), signed, values)
    centres = nodes.constant(np.array([[term.column.centre for term in formula.numbers]]))
    factors = nodes.constant(np.array([[term.factor for term in formula.numbers]]))
    missing = nodes.constant(np.array([[term.missing for term in formula.numbers]]))
    present = nodes.add("Mul", nodes.add("Sub", values, centres), factors)
    terms = nodes.add("Where", is_missing, missing, present)
    return nodes.add("ReduceSum", terms, nodes.constant(np.array([1])), keepdims=1)


def _read(nodes: Nodes, term: Number) -> str:
    """A numeric column's value, [rows, 1]."""
    column = term.column.column
    if column.part == "age_days":
        return nodes.over(nodes.add("Sub", column.against, column.source), 86400.0)
    if column.part:
        return nodes.part(column.source, column.part, offset_of(zone_of(column.type)) or 0)
    return column.source


def _levels(nodes: Nodes, term: Levels, null: str) -> str:
    """A categorical term, [rows, 1]: the weight at the level's place, after which come other and null."""
    column, levels = term.column.column, list(term.weights)
    weights = nodes.constant(np.array([*term.weights.values(), term.other, term.null]))
    other, missing = len(levels), len(levels) + 1
    if column.kind == "text":
        places = [*range(other), missing]
        place = nodes.look_up(column.source, {"keys_strings": [*levels, null]}, places, other)
        return nodes.add("Gather", weights, place)
    if column.part:
        value = nodes.part(column.source, column.part, offset_of(zone_of(column.type)) or 0)
        numbers = [values_of(column.part)[level] for level in levels]
    else:
        value = column.source
        numbers = [int(level) if column.kind == "integer" else int(level == "true") for level in levels]
    return nodes.add("Gather", weights, _place_of(nodes, value, numbers, (other, missing)))


def _place_of(nodes: Nodes, value: str, numbers: list[int], others: tuple[int, int]) -> str:
    """Which of `numbers` a whole number is, int64 [rows, 1]; others: for another one, and for NaN."""
    other, missing = others
    is_whole = nodes.add("Equal", nodes.add("Floor", value), value)
    is_exact = nodes.add("Less", nodes.add("Abs", value), nodes.constant(np.array(EXACT)))
    known = nodes.add("Where", nodes.add("And", is_whole, is_exact), value, nodes.constant(np.array(EXACT)))
    whole = nodes.add("Cast", known, to=nodes.int64)
    found = whole
    if numbers:
        found = nodes.look_up(whole, {"keys_int64s": numbers}, list(range(len(numbers))), other)
    else:
        found = nodes.add("Mul", whole, nodes.constant(np.array(0)))
    return nodes.add("Where", nodes.add("IsNaN", value), nodes.constant(np.array(missing)), found)


def _refuse(formula: Formula) -> None:
    problems: list[str] = []
    for term in formula.terms:
        column = term.column.column
        zone = zone_of(column.type)
        if column.part in ("hour", "weekday", "month") and offset_of(zone) is None:
            problems.append(f"'{column.name}' is taken on the clocks of {zone}, which ONNX does not know")
        if isinstance(term, Levels) and column.kind == "integer":
            large = [level for level in term.weights if abs(int(level)) >= EXACT]
            if large:
                problems.append(f"column '{column.name}' has levels beyond 2^53, such as {large[0]}")
    taken = [
        name
        for name in formula.reads
        if name in ("probability", "decision") or name.startswith(OWN) or "\0" in name
    ]
    problems += [f"column '{name}' has a name that the graph gives to its own" for name in taken]
    if problems:
        raise ConfigError("\n".join(f"{formula.run} has no ONNX graph: {problem}." for problem in problems))
