"""Reads the mixture file: how many rows to take from which files for each part, and the licences of the sources."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MIXTURE = Path(__file__).parent.parent / "mixture.toml"


class MixtureError(Exception):
    """The mixture file or a file that it names cannot be used. The message is one sentence for the user."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Part(_Table):
    """A part of the training set: rows of a file. Empty `kinds` accept every kind, empty `sources` every source."""

    file: str
    questions: int = Field(gt=0)
    kinds: list[str] = []
    sources: list[str] = []
    max_tokens: int | None = Field(default=None, gt=0)
    share_to: list[str] = []  # the parts that get this part's number of rows when its file is excluded

    @property
    def name(self) -> str:
        words = [self.file, *(["+".join(self.kinds)] if self.kinds else []), *self.sources]
        return "/".join(words)

    def fits(self, kind: str, source: str, num_tokens: int) -> bool:
        if (self.kinds and kind not in self.kinds) or (self.sources and source not in self.sources):
            return False
        return self.max_tokens is None or num_tokens <= self.max_tokens


class File(_Table):
    """How to find or make a file. An `optional` file may be missing."""

    optional: bool = False
    made_of: list[str] = []  # files that together replace this file if it is missing
    made_by: str = ""  # the command that makes the file


class HeldOut(_Table):
    """The share of the function names in `files` that is kept out of training."""

    share: float = Field(default=0.0, ge=0, lt=1)
    files: list[str] = []


class Mixture(_Table):
    """The whole mixture file. No two parts have the same name."""

    parts: list[Part] = Field(min_length=1)
    held_out: HeldOut = HeldOut()
    files: dict[str, File] = {}
    licences: dict[str, str] = {}

    @model_validator(mode="after")
    def _check_names(self) -> Mixture:
        names = [part.name for part in self.parts]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two parts are {min(twice)!r}")
        for part in self.parts:
            if unknown := set(part.share_to) - set(names):
                raise ValueError(f"part {part.name!r} shares to {min(unknown)!r}, which is no part")
        files = {part.file for part in self.parts}
        if unknown := {*self.files, *self.held_out.files} - files:
            raise ValueError(f"no part is of the file {min(unknown)!r}")
        return self

    def file_names(self) -> list[str]:
        """Return each file once. Files with held-out functions come first, as Candidates.add requires."""
        names = list(dict.fromkeys(part.file for part in self.parts))
        return sorted(names, key=lambda name: name not in self.held_out.files)

    def licence(self, source: str) -> str:
        """Return the licence of a row's source, or of each source that "+" joins. "" if a licence is unknown."""
        lines = [self.licences.get(word, "") for word in source.split("+")]
        return "; ".join(lines) if all(lines) else ""


def read_mixture(path: Path) -> Mixture:
    """Read a mixture file. Raises MixtureError with the file and the position of the mistake."""
    try:
        return Mixture.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(word) for word in fault["loc"])
        said = fault["msg"].removeprefix("Value error, ")
        raise MixtureError(f"{path}: {place + ': ' if place else ''}{said}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MixtureError(f"{path} is no TOML: {error}") from None
    except OSError as error:
        raise MixtureError(f"{path}: {error.strerror or error}") from None


def without(mixture: Mixture, excluded: Sequence[str]) -> Mixture:
    """Return the mixture without the excluded files and without the parts whose rows come from them.

    A removed part names other parts in `share_to`. The number of rows that was meant for the removed part is shared out
    among them. `excluded` may also name sources; the class Candidates then leaves out all rows of these sources. Raises
    MixtureError for a name that is neither a file nor a source, or if no part remains.
    """
    files = {part.file for part in mixture.parts}
    if unknown := sorted(set(excluded) - files - mixture.licences.keys()):
        known = ", ".join(sorted(files | mixture.licences.keys()))
        raise MixtureError(
            f"{unknown[0]!r} cannot be excluded: it is no file or source of the mixture, which has {known}"
        )
    kept = {part.name: part for part in mixture.parts if part.file not in excluded}
    if not kept:
        raise MixtureError("nothing is left: every file of the mixture is excluded")
    gone = [part for part in mixture.parts if part.file in excluded]
    questions = {name: part.questions for name, part in kept.items()}
    for part in gone:
        heirs = [name for name in part.share_to if name in kept]
        weight = sum(kept[name].questions for name in heirs)
        for name in heirs:
            questions[name] += round(part.questions * kept[name].questions / weight)
    parts = [part.model_copy(update={"questions": questions[part.name]}) for part in kept.values()]
    remaining = {part.file for part in parts}
    return mixture.model_copy(
        update={
            "parts": parts,
            "files": {name: file for name, file in mixture.files.items() if name in remaining},
            "held_out": mixture.held_out.model_copy(
                update={"files": [name for name in mixture.held_out.files if name in remaining]}
            ),
        }
    )
