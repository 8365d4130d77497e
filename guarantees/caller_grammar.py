"""A request's own grammar or regular expression as Lark that is safe to compile beside the server's own rules.

The grammar is split into tokens, each token is checked, and only known tokens are written again. So a request cannot
name a control token, an option of the compiler or a rule of the server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from core.errors import RequestError

MAX_SIZE = 50_000  # characters after all repetitions are written out; 1,000,000 took the compiler 1.7 s and 260 MB
_MAX_LEVELS = 20  # of terminals that contain other terminals
MAX_SYMBOLS = 5_000  # names, strings and regular expressions: 20,000 that may be left out took the compiler 12 s
MAX_RULES = 500  # the native compiler recurses along the rules; 3,000 in a chain exhausted the stack of its thread

_LARK = re.compile(
    r"""(?P<space>[ \t\r]+|(?://|\#)[^\n]*|%llguidance[ \t]*\{[ \t]*\})
    |(?P<newline>\n)
    |(?P<string>"(?:\\.|[^"\\\n])*"i?)
    |(?P<regexp>/(?:\\.|[^/\\\n])+/[imsux]*)
    |(?P<directive>%ignore\b|%import[ \t]+common[ \t]*(?:\.[ \t]*[A-Z_]+|\([A-Z_, \t]+\)))
    |(?P<name>[!?]?_?(?:[a-z][_a-z0-9-]*|[A-Z][_A-Z0-9-]*)(?![A-Za-z0-9_]))
    |(?P<count>\{[ \t]*\d{1,9}[ \t]*(?:,[ \t]*\d{0,9}[ \t]*)?\}|~[ \t]*\d{1,9}(?:[ \t]*\.\.[ \t]*\d{1,9})?)
    |(?P<open>[(\[])|(?P<close>[)\]])
    |(?P<sign>->|\.\.|[|:*+?])""",
    re.VERBOSE,
)
_GBNF = re.compile(
    r"""(?P<space>[ \t\r\n]+|\#[^\n]*)
    |(?P<rule>[A-Za-z0-9_-]+[ \t]*::=)
    |(?P<name>[A-Za-z0-9_-]+)
    |(?P<string>"(?:\\.|[^"\\\n])*")
    |(?P<set>\[\^?(?:\\.|[^\]\\\n])*\])
    |(?P<count>\{[ \t]*\d{1,9}[ \t]*(?:,[ \t]*\d{0,9}[ \t]*)?\})
    |(?P<open>\()|(?P<close>\))
    |(?P<sign>[|*+?])
    |(?P<any>\.)""",
    re.VERBOSE,
)
_IS_GBNF = re.compile(r"^[ \t]*[A-Za-z0-9_-]+[ \t]*::=", re.MULTILINE)
_REGEX_PART = re.compile(
    r"(?P<one>\\.|\[\^?\]?(?:\\.|[^\]\\])*(?:\]|\\?\Z)|[^()\[{])|(?P<open>\()|(?P<close>\))|(?P<count>\{\d{1,9}(?:,\d{0,9})?\})"
    r"|(?P<other>.)",
    re.DOTALL,
)
_CHARACTER = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|(.)", re.DOTALL)
_PLAIN_REPORT = re.compile(
    r"(?:(?:at )?\d+\(\d+\): )+((?:unknown name|duplicate|circular reference|[Ee]xpect|lexer error|Unknown common)"
    r"[\w ,.'\")(:?\\-]*?)(?: \(at |;|$)",
    re.MULTILINE,
)
_LINE = re.compile(r"(?:at )?(\d+)\(\d+\): ")
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t"}


class _Item(NamedTuple):
    """A part of a grammar or regular expression. `size` is its characters, or how often a count repeats at most."""

    kind: str
    size: int
    name: str = ""


def safe_lark(grammar: str, param: str) -> str:
    """Return a request's grammar, in Lark or GBNF, as Lark with the rule `start`. Raises RequestError.

    A grammar with rules `name ::= ...` is GBNF, which is also the EBNF of vLLM and SGLang.
    """
    if is_gbnf(grammar):
        return _from_gbnf(grammar, param)
    return _from_lark(grammar, param)


def is_gbnf(grammar: str) -> bool:
    """Return whether a grammar is GBNF: it has a rule `name ::= ...`."""
    return _IS_GBNF.search(grammar) is not None


def safe_regexp(pattern: str, param: str) -> str:
    """Return a request's regular expression as a Lark expression. Raises RequestError."""
    escaped = _plain(pattern)
    if not re.fullmatch(r"(?:\\.|[^/\\])*", escaped, re.DOTALL):
        raise fault(param, "a backslash at its end escapes nothing.")
    _limit(_regex_size(pattern), param)
    return f"/{escaped}/" if escaped else '""'


def literal(text: str) -> str:
    """Return the Lark expression of a fixed text. All characters but letters, digits and spaces are escaped."""
    encoded = text.encode("utf-16-be")
    units = (int.from_bytes(encoded[at : at + 2], "big") for at in range(0, len(encoded), 2))
    return '"' + "".join(_unit(unit) for unit in units) + '"'


def fault(param: str, sentence: str) -> RequestError:
    """Create the error for a grammar, regular expression or choice that cannot be a constraint."""
    return RequestError(f"Invalid '{param}': {sentence}", param, "invalid_value")


def compiles_too_long(param: str) -> RequestError:
    """Create the error for the grammar at which the time for all grammars of the request has run out."""
    return fault(param, "the request's grammars take too long to compile.")


def uncompiled(param: str, report: str, *, has_lines: bool = False) -> RequestError:
    """Create the error for a constraint that does not compile, with the plain part of the compiler's report.

    has_lines: the lines of the compiled grammar are those of the request, so that the error can name the line.
    """
    if "lookarounds not supported" in report:
        return fault(param, "it cannot be compiled: word boundaries and lookaround are not supported.")
    found = re.search(r"^error: (.*)$", report, re.MULTILINE) or _PLAIN_REPORT.match(report)
    reason = found[1][:200].strip().rstrip(".") if found else "it is too complex, or no text can match it"
    line = _LINE.match(report) if has_lines else None
    return fault(param, f"it cannot be compiled: {reason}{f', in line {line[1]}' if line else ''}.")


def _unit(unit: int) -> str:
    char = chr(unit)
    return char if char == " " or (char.isascii() and char.isalnum()) else f"\\u{unit:04x}"


def _plain(pattern: str) -> str:
    r"""Escape slashes, and limit `\d` to the digits 0 to 9, as in a `pattern` of JSON Schema.

    For the compiler `\d` is any of 760 digits of Unicode, with which few programs can count.
    """
    return re.sub(r"\\.|/", _escaped_regex_part, pattern, flags=re.DOTALL)


def _escaped_regex_part(part: re.Match[str]) -> str:
    return {"/": r"\/", "\\\n": r"\n", r"\d": "[0-9]"}.get(part[0], part[0])


def _limit(size: int, param: str) -> None:
    if size > MAX_SIZE:
        raise fault(param, f"with its repetitions written out it is longer than {MAX_SIZE} characters.")


def _size(items: Iterable[_Item], sizes_by_name: Mapping[str, int]) -> int:
    """Return the number of characters of `items` after all repetitions are written out, at most ten times MAX_SIZE."""
    sums, lasts = [0], [0]
    for kind, size, name in items:
        if kind == "open":
            sums.append(0)
            lasts.append(0)
            continue
        if kind == "count":
            added, last = lasts[-1] * (size - 1), lasts[-1] * size
        elif kind == "close" and len(sums) > 1:
            lasts.pop()
            added = last = sums.pop()
        else:
            added = last = sizes_by_name.get(name, 1) if name.isupper() else size
        sums[-1] = min(sums[-1] + added, 10 * MAX_SIZE)
        lasts[-1] = min(last, 10 * MAX_SIZE)
    return min(sum(sums), 10 * MAX_SIZE)


def _regex_size(pattern: str) -> int:
    parts = ((part.lastgroup or "", part[0]) for part in _REGEX_PART.finditer(pattern))
    return _size((_Item(kind, _most(text) if kind == "count" else 1) for kind, text in parts), {})


def _most(count: str) -> int:
    """Return the highest number in a count such as {2,5} or ~2..5."""
    return max(map(int, re.findall(r"\d+", count)))


def _tokens(grammar: str, syntax: re.Pattern[str], param: str) -> Iterator[re.Match[str]]:
    """Yield the tokens of a grammar without spaces and comments. Raises RequestError for anything else in it."""
    at = 0
    while at < len(grammar):
        token = syntax.match(grammar, at)
        if token is None:
            line = grammar.count("\n", 0, at) + 1
            shown = (grammar[at : at + 12].split() or [repr(grammar[at])])[0]
            raise fault(param, f"'{shown}' in line {line} {_why(grammar[at])}.")
        at = token.end()
        if token.lastgroup != "space":
            yield token


def _why(char: str) -> str:
    if char == "<":
        return "is not supported: a grammar cannot name control tokens"
    return "is not supported" if char in "%@&~" else "is unexpected"


# Lark


def _from_lark(grammar: str, param: str) -> str:
    written: list[str] = []
    bodies: dict[str, list[_Item]] = {"": []}
    name = ""
    for token in _tokens(grammar, _LARK, param):
        kind, text = token.lastgroup or "", token[0]
        if text == ":":
            if not bodies[name] or not bodies[name][-1].name:
                raise fault(param, "each ':' needs the name of a rule before it, without attributes.")
            name = bodies[name].pop().name.lstrip("!?")
            bodies[name] = []
        elif kind not in ("newline", "sign"):
            bodies[name].append(_item(kind, text))
        written.append(_safe_token(kind, text))
    if "start" not in bodies:
        raise fault(param, "it is no grammar with a rule 'start: ...' (Lark) or 'root ::= ...' (GBNF).")
    _check_size(bodies, param)
    return " ".join(written)


def _safe_token(kind: str, text: str) -> str:
    """Return a token in which no string has a character with a meaning outside strings, and `\\d` is a digit 0 to 9."""
    if kind == "regexp":
        return f"/{_plain(text[1 : text.rindex('/')])}{text[text.rindex('/') :]}"
    if kind == "string":
        return re.sub(r"\\.|[<>@%{}]", lambda part: part[0] if part[0][0] == "\\" else _unit(ord(part[0])), text)
    return text


def _item(kind: str, text: str) -> _Item:
    match kind:
        case "name":
            return _Item(kind, 1, text)
        case "count":
            return _Item(kind, _most(text))
        case "open" | "close":
            return _Item(kind, 0)
        case "regexp":
            return _Item(kind, _regex_size(text))
        case "set" | "any":
            return _Item(kind, 1)
    return _Item(kind, len(text))


def _check_size(bodies: Mapping[str, Sequence[_Item]], param: str) -> None:
    """Raise RequestError if the grammar is too large with its repetitions and its terminals written out.

    The compiler copies a terminal into each terminal and rule that names it.
    """
    if len(bodies) > MAX_RULES:
        raise fault(param, f"it has more than {MAX_RULES} rules.")
    _check_num_symbols((item for body in bodies.values() for item in body), param)
    sizes: dict[str, int] = {}
    for _ in range(_MAX_LEVELS):
        before = sizes
        sizes = {name: _size(body, before) for name, body in bodies.items()}
        if sizes == before:
            break
    else:
        raise fault(param, f"its terminals contain each other over more than {_MAX_LEVELS} levels.")
    _limit(sum(sizes.values()), param)


def _check_num_symbols(items: Iterable[_Item], param: str) -> None:
    if sum(item.kind in ("name", "string", "regexp", "set", "any") for item in items) > MAX_SYMBOLS:
        raise fault(param, f"it has more than {MAX_SYMBOLS} names, strings and regular expressions.")


# GBNF


def _from_gbnf(grammar: str, param: str) -> str:
    tokens = list(_tokens(grammar, _GBNF, param))
    rules = [token[0].removesuffix("::=").strip() for token in tokens if token.lastgroup == "rule"]
    if len(rules) > MAX_RULES:
        raise fault(param, f"it has more than {MAX_RULES} rules.")
    if "root" not in rules:
        raise fault(param, "it has no rule 'root'.")
    if twice := next((name for number, name in enumerate(rules) if name in rules[:number]), None):
        raise fault(param, f"the rule '{twice[:64]}' is defined twice.")
    names = {name: "start" if name == "root" else f"rule_{number}" for number, name in enumerate(rules)}
    items = [_item(token.lastgroup or "", token[0]) for token in tokens if token.lastgroup != "sign"]
    _check_num_symbols(items, param)
    _limit(_size(items, {}), param)
    return " ".join(_gbnf_token(token.lastgroup or "", token[0], names, param) for token in tokens)


def _gbnf_token(kind: str, text: str, names: Mapping[str, str], param: str) -> str:
    match kind:
        case "rule":
            return f"\n{names[text.removesuffix('::=').strip()]}:"
        case "name":
            if text not in names:
                raise fault(param, f"the rule '{text[:64]}' is not defined.")
            return names[text]
        case "string":
            return literal("".join(char for char, _ in _characters(text[1:-1], param)))
        case "set":
            return _character_set(text, param)
        case "any":
            return "/(?s:.)/"
    return text


def _character_set(text: str, param: str) -> str:
    negation = "^" if text[1] == "^" else ""
    characters = list(_characters(text[1 + len(negation) : -1], param))
    if not characters:
        raise fault(param, f"the character set '{text}' is empty.")
    last = len(characters) - 1
    parts = [
        "-" if char == "-" and not is_escaped and 0 < at < last else f"\\x{{{ord(char):x}}}"
        for at, (char, is_escaped) in enumerate(characters)
    ]
    return f"/[{negation}{''.join(parts)}]/"


def _characters(text: str, param: str) -> Iterator[tuple[str, bool]]:
    """Yield each character of a string or character set of GBNF, and whether it was escaped."""
    for part in _CHARACTER.finditer(text):
        code = part[1] or part[2] or part[3]
        if code:
            number = int(code, 16)
            if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                raise fault(param, f"'{part[0]}' is not a character.")
            yield chr(number), True
        elif part[4]:
            if part[4].isalnum() and part[4] not in _CONTROLS:
                raise fault(param, f"'{part[0]}' is not an escape sequence of GBNF.")
            yield _CONTROLS.get(part[4], part[4]), True
        else:
            yield part[5], False
