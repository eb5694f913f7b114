"""matplotlib's SVG made fit for a page that allows no style attributes and has two colour schemes.

matplotlib writes colours and fonts into style attributes, which a strict content security policy forbids, and
gives every figure the same ids. Here each role's colour becomes a class of the style sheet, other style
becomes attributes of SVG, ids get the chart's name in front, and what is not drawn goes.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

INK, QUIET, FAINT, ONE, TWO = "#010101", "#020202", "#030303", "#040404", "#050505"
ROLES = {INK: "ink", QUIET: "quiet", FAINT: "faint", ONE: "one", TWO: "two"}
# of a picture that stands alone, on white: the page's own light colours
ALONE = {"ink": "#1b1f24", "quiet": "#5b6470", "faint": "#dfe3e8", "one": "#1d5fa6", "two": "#b0500a"}
NUMBERS = ("d", "x", "y", "transform", "width", "height", "points")
DROPPED = ("metadata", "style", "title")
KEPT_STYLE = re.compile(r"(stroke|fill)-[a-z]+|stroke|fill|opacity|text-anchor|font-size")


def inlined(content: bytes, name: str) -> str:
    """An SVG of matplotlib as an element of a page, with the class `chart` and an accessible name by id.

    The page has a heading with the id `NAME-title` and a sentence `NAME-reading` that tell what it shows.
    """
    root = ET.fromstring(content)  # our own
    _clean(root, name)
    box = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib |= {
        "class": "chart", "id": f"{name}-chart", "viewBox": box, "role": "img",
        "aria-labelledby": f"{name}-title", "aria-describedby": f"{name}-reading",
    }  # fmt: skip
    return ET.tostring(root, encoding="unicode")


def alone(element: str) -> str:
    """An inlined chart as a picture of its own, on white; with a size, without which MLflow shows none."""
    rules = "".join(f".s-{role}{{stroke:{c}}}.f-{role}{{fill:{c}}}" for role, c in ALONE.items())
    style = f"<style>text{{font-family:sans-serif}}{rules}</style>"
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
    opening, rest = element.split(">", 1)
    width, height = ET.fromstring(element).attrib["viewBox"].split()[2:]
    size = f'width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg"'
    return f"{opening} {size}>{style}{ground}{rest}"


def _clean(element: ET.Element, name: str) -> None:
    element.tag = element.tag.rpartition("}")[2]
    element.text, element.tail = (
        text if text and text.strip() else None for text in (element.text, element.tail)
    )
    for child in list(element):
        if not isinstance(child.tag, str) or child.tag.rpartition("}")[2] in DROPPED:
            element.remove(child)
        else:
            _clean(child, name)
    attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    element.attrib.clear()
    classes = _style(element, attributes.pop("style", ""))
    if element.tag == "g":  # nothing points at a group
        attributes.pop("id", "")
    for key, value in attributes.items():
        element.set(key, _renamed(key, value, name))
    if element.tag == "text" and not any(c.startswith("f-") for c in classes):
        classes.append("f-ink")
    if classes:
        element.set("class", " ".join(classes))


def _renamed(key: str, value: str, name: str) -> str:
    """An attribute's value, short, and with the chart's name before the ids that it has or points at."""
    if key == "id":
        return f"{name}-{value}"
    if key in ("href", "clip-path"):
        return value.replace("#", f"#{name}-")
    return _short(value) if key in NUMBERS else value


def _style(element: ET.Element, style: str) -> list[str]:
    """A style attribute as attributes of SVG; returns the classes of its colours."""
    classes: list[str] = []
    for declaration in filter(None, map(str.strip, style.split(";"))):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key in ("stroke", "fill") and value in ROLES:
            classes.append(f"{key[0]}-{ROLES[value]}")
        elif KEPT_STYLE.fullmatch(key):
            element.set(key, value.removesuffix("px"))
    return classes


def _short(value: str) -> str:
    """Numbers to a hundredth of a point, and one blank between them."""
    rounded = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), value)
    return " ".join(rounded.split())
