"""Strings, numbers and listed values as schemas for the grammar compiler, within what it can compute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from core.conversation import JsonSchema
from json_schema.binding.conjunction import Merged
from json_schema.binding.places import Never, Unbound
from json_schema.walk import Context

_MOST = 92 * 10**17  # the compiler's integers have 64 bits
_DECIMALS = 10  # of numbers; the compiler cannot compute with more
_MAX_MULTIPLE = 10_000  # the automaton has this many states; 10,000,003 took the compiler 110 s and 4 GB
_MAX_BOUNDED_MULTIPLE = 100  # the states of a bound of 19 digits and of a multiple multiply
_MAX_PATTERN = 5_000  # characters
_MAX_ENUM = 10_000  # values; these take the compiler 60 ms
_LEAST, _GREATEST = ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")
_FORMATS = frozenset(["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"])


def string(merged: Merged, unbound: list[Unbound]) -> JsonSchema:
    """Return the keywords for strings. An unknown `format`, such as pydantic's "path", is an annotation."""
    if "string" not in merged.types:
        return {}
    written: JsonSchema = {
        key: int(merged.limits[key]) for key in ("minLength", "maxLength") if merged.limits.get(key) is not None
    }
    formats = [name for name in merged.formats if name in _FORMATS]
    for key, texts in (("pattern", _patterns(merged, unbound)), ("format", formats)):
        if texts:
            written[key] = texts[0]
        if len(texts) > 1:
            written.setdefault("allOf", []).extend({key: text} for text in texts[1:])
    return written


def _patterns(merged: Merged, unbound: list[Unbound]) -> list[str]:
    too_long = [pattern for pattern in merged.patterns if len(pattern) > _MAX_PATTERN]
    why = f"is longer than {_MAX_PATTERN} characters"
    unbound += [Unbound("pattern", merged.patterns[pattern], why) for pattern in too_long]
    return [pattern for pattern in merged.patterns if pattern not in too_long]


def values(merged: Merged, unbound: list[Unbound]) -> JsonSchema:
    """Return a schema of the listed values. Whole numbers that the compiler would round are left out."""
    listed = list((merged.values or {}).values())
    if len(listed) > _MAX_ENUM:
        unbound.append(Unbound("enum", merged.contexts["enum"], f"has more than {_MAX_ENUM} values"))
        return {"type": sorted("number" if kind == "fraction" else kind for kind in merged.types)}
    written: JsonSchema = {"enum": [value for value in listed if _is_exact(value)]}
    if not written["enum"]:
        unbound.append(Unbound("enum", merged.contexts["enum"], "has only numbers beyond 64 bits"))
        return {"type": "integer"}
    patterns = _patterns(merged, unbound) if "string" in merged.types else []
    if patterns:
        written["pattern"] = patterns[0]
    if len(patterns) > 1:
        written["allOf"] = [{"pattern": pattern} for pattern in patterns[1:]]
    return written


def _is_exact(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int):
        return True
    return abs(value) < 10**300 and int(Decimal(repr(float(value)))) == value


def numbers(merged: Merged, unbound: list[Unbound]) -> list[Any]:
    """Return the schema of the numbers, or why there are none; nothing if numbers are not allowed at all.

    Decimals are limited where the schema allows it. Digits before the point are limited while an answer is generated
    (guarantees/digits.py), since a bound of 19 digits takes the compiler 1.5 ms. `unbound` gets what cannot be bound.
    """
    if not merged.types & {"integer", "fraction"}:
        return []
    if merged.types & {"integer", "fraction"} == {"fraction"}:
        unbound.append(Unbound("not", merged.contexts.get("type", ()), "cannot exclude whole numbers"))
    limits, where = merged.limits, merged.contexts
    low, is_above = max((limits.get("minimum", -_MOST), False), (limits.get("exclusiveMinimum", -_MOST - 1), True))
    high, is_reached = min((limits.get("maximum", _MOST), True), (limits.get("exclusiveMaximum", _MOST + 1), False))
    low, high = max(low, -_MOST), min(high, _MOST)
    if low >= _MOST or high <= -_MOST:
        key = "minimum" if low >= _MOST else "maximum"
        unbound.append(Unbound(key, where.get(key, ()), "is beyond 64 bits"))
        low, is_above, high, is_reached = -_MOST, False, _MOST, True
        limits = {}
    step = _step(merged.multiples, unbound)
    is_whole = "fraction" not in merged.types
    if is_whole:
        number = _whole(low, is_above, high, not is_reached, step, where)
    else:
        number = _fractional(low, is_above, high, not is_reached, step)
    if isinstance(number, Never):
        return [number]
    implied = {"minimum"} if limits.keys().isdisjoint(_LEAST) else set()
    implied |= {"maximum"} if limits.keys().isdisjoint(_GREATEST) else set()
    return [{key: value for key, value in number.items() if key not in implied}]


def _step(multiples: Mapping[float, Context], unbound: list[Unbound]) -> Fraction | None:
    """Return the least common multiple, or None if there is none or the compiler cannot compute it."""
    step: Fraction | None = None
    for number, context in multiples.items():
        added = Fraction(str(number))
        step = added if step is None else _common_multiple(step, added)
        if step.numerator > _MAX_MULTIPLE or Fraction(10**_DECIMALS) % step.denominator:
            why = f"needs numbers up to {_MAX_MULTIPLE} with at most {_DECIMALS} decimals"
            unbound.append(Unbound("multipleOf", context, why))
            return None
    return step


def _common_multiple(one: Fraction, other: Fraction) -> Fraction:
    return Fraction(math.lcm(one.numerator, other.numerator), math.gcd(one.denominator, other.denominator))


def _whole(
    low: float, is_above: bool, high: float, is_below: bool, step: Fraction | None, where: Mapping[str, Context]
) -> JsonSchema | Never:
    least = math.floor(low) + 1 if is_above else math.ceil(low)
    most = math.ceil(high) - 1 if is_below else math.floor(high)
    multiple = 1 if step is None else step.numerator  # the whole multiples of a/b are those of a
    if math.ceil(Fraction(least, multiple)) * multiple > most:
        context = where.get("minimum") or where.get("exclusiveMinimum") or where.get("maximum") or ()
        return Never(context, "no whole number is within the bounds.")
    bounds = {"minimum": _inward(least, 1), "maximum": _inward(most, -1)}
    if multiple > _MAX_BOUNDED_MULTIPLE:
        bounds = {key: bound for key, bound in bounds.items() if abs(bound) != _MOST}
    return {"type": "integer", **bounds, **({} if multiple == 1 else {"multipleOf": multiple})}


def _inward(bound: int, direction: int) -> int:
    """Return the bound that is left when the compiler reads it as a float, never wider than `bound`."""
    near = float(bound)
    if (near - bound) * direction < 0:
        near = math.nextafter(near, math.inf * direction)
    return int(near)


def _fractional(low: float, is_above: bool, high: float, is_below: bool, step: Fraction | None) -> JsonSchema | Never:
    written: JsonSchema = {
        "type": "number",
        "exclusiveMinimum" if is_above else "minimum": low,
        "exclusiveMaximum" if is_below else "maximum": high,
    }
    if step is not None:
        return {**written, "multipleOf": float(step)}
    is_wide = high - low > 10.0 ** (1 - _DECIMALS)
    is_short = all(-int(Decimal(str(bound)).normalize().as_tuple().exponent) <= _DECIMALS for bound in (low, high))
    return {**written, "multipleOf": 10.0**-_DECIMALS} if is_wide and is_short else written
