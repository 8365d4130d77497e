"""Schemas as real libraries and servers write them, and what the prompt says about them.

tests/golden/shapes has one file for each family of libraries. A case has a title, the parameters of a function, and the
lines between the braces of its declaration. All lines were written by hand; no command rewrites them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from json_schema.check import check_parameters
from tests.support.printed_schemas import printed

FILES = sorted((Path(__file__).parent / "golden" / "shapes").glob("*.txt"))


def cases(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the title of each case, its schema as JSON, and the expected lines."""
    for case in path.read_text(encoding="utf-8").removeprefix("### ").split("\n### "):
        title, _, rest = case.partition("\n")
        schema, _, expected = rest.partition("\n---\n")
        yield title, schema, expected.removesuffix("\n").split("\n")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_real_schema_reaches_the_prompt(path: Path, subtests: pytest.Subtests) -> None:
    """What a library wrote into a schema is said in the prompt.

    Regression test: optional parameters of pydantic and zod were printed as `any`, and models invented their values.
    """
    for title, text, expected in cases(path):
        with subtests.test(title):
            schema = json.loads(text)
            check_parameters(schema, owner="function 'f'", param="tools")
            _, head, *lines = printed(schema)
            if expected == ["() => any"]:
                assert head == "type f = () => any;"
            else:
                assert (head, lines) == ("type f = (_: {", [*expected, "}) => any;"])


def test_there_are_sixty_shapes() -> None:
    assert sum(len(list(cases(path))) for path in FILES) >= 60
