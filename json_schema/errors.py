"""The error for an invalid or unsupported schema: its owner, the place in the schema, and the reason."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import RequestError
from json_schema.walk import Context


@dataclass(frozen=True)
class Subject:
    """The schema that an error is about.

    owner: what the message calls the schema's owner: "function 'f'", "response_format 'x'".
    param: the request's field that holds the schema; None if it is not known.
    """

    owner: str
    param: str | None
    code: str | None

    def error(self, sentence: str, context: Context | None = None) -> RequestError:
        """Create the error as OpenAI words it: "Invalid schema for function 'f': In context=('properties',), ..."."""
        where = ""
        if context is not None:
            shown = repr(tuple(shortened(key) for key in context))
            where = f"In context={shown if len(shown) <= 240 else shown[:240] + '...)'}, "
        return RequestError(f"Invalid schema for {self.owner[:100]}: {where}{sentence}", self.param, self.code)


def shortened(text: str) -> str:
    return text if len(text) <= 64 else f"{text[:64]}..."


def not_enforced(subject: Subject, keyword: str, context: Context, why: str = "") -> RequestError:
    """Create the error for a keyword of a strict schema that a grammar cannot enforce."""
    reason = f" ({why})" if why else ""
    return subject.error(
        f"'{keyword}' cannot be enforced here{reason}. Leave it out, or ask for no guarantee.", context
    )
