"""Features that tell the label alone, in some row groups of the files that a run would read."""

from __future__ import annotations

from binclf.check.layouts import Found
from binclf.config import Config
from binclf.errors import DamageError, DataError
from binclf.features.columns import Roles
from binclf.labels import LabelRule
from binclf.leaks import look
from binclf.scored import places_of
from binclf.split.intake import Intake


def look_for_leaks(config: Config, intake: Intake, used: Roles, label: LabelRule, found: Found) -> None:
    """What `data.on_leak` says of each feature that tells the label: a problem, a warning, or nothing.

    The rows of all parts are looked at, for there are no parts yet; a run looks once more at those of train.
    """
    if config.data.on_leak == "ignore":
        return
    left_out = {name for name, _ in found.summary["quarantined"]}
    feet = [foot for foot in intake.feet if foot.relative not in left_out]
    try:
        looked = look(places_of(feet), [rows for foot in feet for rows in foot.groups], used, label)
    except DamageError as error:
        if config.data.on_bad_file == "error":
            found.problems.append(error)
        else:
            found.warnings.append(f"{error.file} would be quarantined: {error}")
        return
    except DataError as error:  # a file that changed meanwhile
        found.problems.append(error)
        return
    found.summary["alone"] = looked.as_json()
    if config.data.on_leak == "error":
        found.problems += [DataError(sentence) for sentence in looked.told(config.data)]
    else:
        found.warnings += looked.told(config.data)
