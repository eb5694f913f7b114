"""What a run's split did with which files, worked out from what the run recorded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from binclf import artifact, commit
from binclf.errors import BinclfError, DataError
from binclf.parquet import Column, find, zone_of
from binclf.split import home
from binclf.split.again import DealtFile, dealt_files, part_codes, selection_made_of, slots_again
from binclf.storage import Place, fingerprint_of

I8 = npt.NDArray[np.int8]


class History:
    """What a run's split did with which files."""

    def __init__(self, run: artifact.Run) -> None:
        """Nothing is read until it is asked for."""
        self.run = run
        self.files = dealt_files(run.split)
        self.by_name = {file.relative: file for file in self.files.values()}
        self.has_duplicates = bool(run.split.receipt["duplicate_files"])
        known = run.config.split.method, bool(run.config.data.group)
        self.is_by_value = known[0] in ("hash", "time") or known == ("random", True)

    def unlike(self, columns: Sequence[Column], place: str) -> list[BinclfError]:
        """How the columns that the run's rule goes by differ from what they were."""
        config, was = self.run.config, {column.name: column for column in self.run.split.columns}
        names = (
            [config.data.time] if config.split.method == "time" else [*config.split.key, config.data.group]
        )
        found = {column.name: column for column in columns}
        problems: list[BinclfError] = []
        for name in dict.fromkeys(filter(None, names)) if self.is_by_value else ():
            old, new = was[name], found.get(name)
            if new is None or new.kind != old.kind or bool(zone_of(new.type)) != bool(zone_of(old.type)):
                has = f"has column '{name}' as {new.type}" if new else f"lacks column '{name}'"
                problems.append(
                    DataError(
                        f"{place} {has}, and {self.run.id} was split by it as {old.type}: which rows it "
                        "has seen cannot be known. Bring the column as it was."
                    )
                )
        return problems

    @cached_property
    def places(self) -> dict[str, Place]:
        """The input files that are there today, by relative path."""
        try:
            listing = find(self.run.config.data.path, ignore=self.run.config.store)
        except DataError:  # all are gone
            return {}
        return {found.relative: found.path for found in listing.files}

    def fingerprint(self, file: DealtFile) -> str:
        """Of the content that a file had; by the split's receipt, or from the file itself.

        Raises:
            DataError: there is neither, so it is not known.
        """
        config, split = self.run.config, self.run.split
        receipt = home(config) / "parts" / f"{file.id}.json"
        if receipt.exists():
            found = str(commit.read_json(receipt)["fingerprint"])
            if selection_made_of(config, split, file, found):
                return found
        if place := self.places.get(file.relative):
            found = fingerprint_of(place)
            if selection_made_of(config, split, file, found):
                return found
        raise DataError(
            f"{file.relative} changed or went since {self.run.id} was trained, and its split's receipt too: "
            "what it held is not known. Bring it back as it was, or compare on other labelled data."
        )

    def made_of(self, fingerprint: str, name: str) -> list[DealtFile]:
        """The run's files that had this content: that of the name, or, where there may be more, all."""
        config, split = self.run.config, self.run.split
        namesake = self.by_name.get(name)
        if namesake and not self.has_duplicates and selection_made_of(config, split, namesake, fingerprint):
            return [namesake]
        return [file for file in self.files.values() if selection_made_of(config, split, file, fingerprint)]

    def codes(self, files: Sequence[DealtFile], place: Place, fingerprint: str) -> I8:
        """The part of each row of a content, int8 [N]; training first, where copies of it were in several."""
        codes: I8 | None = None
        for file in files:
            selection = selection_made_of(self.run.config, self.run.split, file, fingerprint)
            if selection is None:
                raise AssertionError(f"{file.relative} is not of this content")
            found = part_codes(file, slots_again(place, file.relative, selection, fingerprint))
            # -1 is the largest of unsigned bytes, and training the least
            codes = (
                found
                if codes is None
                else np.minimum(codes.view(np.uint8), found.view(np.uint8)).view(np.int8)
            )
        if codes is None:
            raise AssertionError("no file is of this content")
        return codes
