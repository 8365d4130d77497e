"""Random walks through the grammars of schemas: are forced calls valid by their schema?

    python -m bench.forced_calls [FILE...] [--generated 800] [--walks 10]

A FILE has one JSON object a line (plain or xz) with the schema as `parameters`, or is a JSON schema itself. Each walk
samples random tokens that the grammar allows; `jsonschema` validates the value. Prints how many values are invalid and
by which keyword, how many of these by keywords that are known to be unbound, how many walks the token limit cut, which
schemas are errors, and how long the compiler took.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from bench.generated_schemas import schemas
from client.json_lines import read_objects
from core.conversation import JsonSchema
from core.errors import EngineError, RequestError
from core.generation import Constraint, JsonRule, Lark
from guarantees.matcher import ConstraintCompiler
from json_schema.binding.bind import bind

_STOP = "</s>"
_LIMIT = 3_000  # tokens of a walk
_PATIENCE = 60  # tokens before a walk prefers to close what is open


@dataclass
class Report:
    """What walks through the grammars of some schemas found."""

    num_schemas: int = 0
    num_values: int = 0
    num_cut: int = 0
    compile_s: float = 0.0
    invalid: list[tuple[str, str, str]] = field(default_factory=list)  # schema's name, keyword, value
    unbound: list[tuple[str, str, str]] = field(default_factory=list)  # invalid too, by a keyword that is not bound
    errors: list[tuple[str, str]] = field(default_factory=list)  # schema's name, message

    def __str__(self) -> str:
        by_keyword = Counter(keyword for _, keyword, _ in self.unbound)
        lines = [
            f"{self.num_schemas} schemas, {len(self.errors)} errors, compiled in {self.compile_s:.2f} s",
            f"{self.num_values} values, {len(self.invalid)} invalid, {self.num_cut} walks cut",
            f"invalid by keywords that are not bound: {dict(by_keyword)}",
            f"invalid by keyword: {dict(Counter(keyword for _, keyword, _ in self.invalid).most_common())}",
        ]
        lines += [f"  {name}: {keyword}: {value[:160]}" for name, keyword, value in self.invalid[:12]]
        lines += [f"  error: {name}: {message[:160]}" for name, message in self.errors[:12]]
        return "\n".join(lines)


def compiler() -> ConstraintCompiler:
    """Return a compiler for a tokenizer of single bytes, whose masks are small."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={character: number for number, character in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(_STOP, special=True)])
    return ConstraintCompiler(backend, len(alphabet) + 1, eos_id=len(alphabet))


def walked(named: Iterable[tuple[str, JsonSchema]], num_walks: int, *, strict: bool = False) -> Report:
    """Walk through the grammar of each named schema `num_walks` times."""
    report, constraints = Report(), compiler()
    stop_id = constraints.vocabulary.size - 1
    token_bytes = {token_id: constraints.vocabulary.token_bytes(token_id) for token_id in range(stop_id)}
    for name, schema in named:
        report.num_schemas += 1
        rule = JsonRule(schema, strict, f"function '{name}'", "tools", None)
        constraint = Constraint(turn=Lark(f"start: json <[{stop_id}]>\n", {"json": rule}))
        began = time.perf_counter()
        try:
            constraints.matcher(constraint)
        except (RequestError, EngineError) as refused:
            report.errors.append((name, str(refused)))
            continue
        finally:
            report.compile_s += time.perf_counter() - began
        validator = jsonschema.Draft202012Validator(_exact(json.dumps(_as_2020(schema))))
        known = {unbound.keyword for unbound in bind(schema, is_strict=strict).unbound}
        for seed in range(num_walks):
            text = _walk(constraints, constraint, token_bytes, stop_id, random.Random(f"{name} {seed}"))
            if text is None:
                report.num_cut += 1
                continue
            report.num_values += 1
            for error in islice(validator.iter_errors(_exact(text)), 1):
                kind = report.unbound if error.validator in known else report.invalid
                kind.append((name, str(error.validator), text))
    return report


def _walk(
    constraints: ConstraintCompiler,
    constraint: Constraint,
    token_bytes: dict[int, bytes],
    stop_id: int,
    drawing: random.Random,
) -> str | None:
    """Return the text of one random walk, or None if it is too long."""
    matcher, written = constraints.matcher(constraint), b""
    while len(written) < _LIMIT:
        mask = matcher.mask()
        allowed: list[int] = [] if mask is None else mask.nonzero()[0].tolist()
        if stop_id in allowed:
            return written.decode()
        closing = [token_id for token_id in allowed if token_bytes[token_id] in (b'"', b"}", b"]", b",")]
        is_tired = len(written) > _PATIENCE
        ends = [token_id for token_id in closing if token_bytes[token_id] != b","] or closing
        pool = ends if ends and is_tired else closing if closing and drawing.random() < 0.2 else allowed
        token_id = drawing.choice(pool)
        matcher.accept(token_id)
        written += token_bytes[token_id]
    return None


def _exact(text: str) -> Any:
    """Parse JSON with decimals, since by floats 68412.9 is no multiple of 0.01."""
    return json.loads(text, parse_float=Decimal)


def _as_2020(schema: Any) -> Any:
    """Write draft 7 and OpenAPI as JSON Schema 2020-12.

    Lists of `items` become `prefixItems`. `nullable` makes null valid too, unless an `enum` beside it does not list it.
    """
    if isinstance(schema, list):
        return [_as_2020(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    written = {key: value if key in ("enum", "const") else _as_2020(value) for key, value in schema.items()}
    if isinstance(written.get("items"), list):
        written["prefixItems"], written["items"] = written["items"], written.get("additionalItems", True)
    if written.get("nullable") is not True:
        return written
    bare = {key: value for key, value in written.items() if key != "nullable"}
    if isinstance(bare.get("type"), str):
        return {**bare, "type": [bare["type"], "null"]}
    return {"anyOf": [bare, {"type": "null"}]}


def _schemas(path: Path) -> Iterator[tuple[str, JsonSchema]]:
    for number, (row, _) in enumerate(read_objects(path)):
        schema = row.get("parameters", row)
        yield f"{number} {row.get('name', '')}", {**schema, "type": "object"} if "parameters" in row else schema


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--generated", type=int, default=0, metavar="N", help="also walk through N generated schemas")
    parser.add_argument("--walks", type=int, default=10, help="walks for each schema")
    parser.add_argument("--strict", action="store_true", help="treat every schema as strict")
    args = parser.parse_args()
    for path in args.files:
        print(f"{path}\n{walked(_schemas(path), args.walks, strict=args.strict)}")
    if args.generated:
        print(f"generated\n{walked(schemas(args.generated), args.walks, strict=args.strict)}")


if __name__ == "__main__":
    main()
