"""The API keys that a server accepts: those of its options, and those of a file that gives each of them a name."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from starlette.datastructures import Headers

from web.errors import HttpError

OPTION = "--api-key-file"
MAX_FILE = 2**20
MAX_FAULTS = 20  # lines that are printed for one file
CHALLENGE = {"WWW-Authenticate": "Bearer"}
_OPTION_NAME = "api-key-"  # the names of keys without one: api-key-1, api-key-2 and so on
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_COMMAND = 'printf %s "$KEY" | sha256sum | cut -c1-64'

log = logging.getLogger("functionary")


class KeyFileError(Exception):
    """A file of keys cannot be used. Each fault is one line that says what is wrong and what would be right."""

    def __init__(self, faults: Collection[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class Key(NamedTuple):
    """A key that a request has shown: its name, for logs and metrics, and its SHA-256 digest in hex."""

    name: str
    digest: str


class Keys:
    """The accepted keys. Only their digests are kept. Without any, requests need no key."""

    def __init__(self, given: Collection[str] = (), file: Path | None = None) -> None:
        """`given` are keys without names; `file` has lines of `name:sha256hex`. Raises KeyFileError."""
        digests = (digest(key.encode("utf-8", "surrogateescape")) for key in given)
        self._given = {one: f"{_OPTION_NAME}{number}" for number, one in enumerate(digests, 1)}
        self._file = file
        self._names = self._read()  # by digest

    def __len__(self) -> int:
        return len(self._names)

    def reload(self) -> None:
        """Read the file again. A file with a fault changes nothing. Logs one line."""
        if self._file is None:
            log.info("SIGHUP: nothing is read again, since there is no %s", OPTION)
            return
        try:
            self._names = self._read()
        except KeyFileError as error:
            more = f" (and {len(error.faults) - 1} more)" if len(error.faults) > 1 else ""
            log.error("the API keys stay as they were: %s%s", error.faults[0], more)
        else:
            log.info("%s %s is read again: %d API keys", OPTION, self._file, len(self))

    def check(self, headers: Headers) -> Key:
        """Return the key of a request. Raises HttpError 401 if no header has a right one."""
        shown = list(_shown(headers))
        if not shown:
            raise HttpError(
                401,
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or in the header x-api-key or api-key.",
                headers=CHALLENGE,
            )
        names = self._names
        digests = [digest(key.encode("latin-1")) for key in shown]  # latin-1 restores the bytes that the client sent
        # sum() compares all, so that the time reveals no key
        matches = [sum(hmac.compare_digest(one, known) for known in names) > 0 for one in digests]
        if not any(matches):
            message = f"Incorrect API key provided: {_masked(shown[0])}."
            raise HttpError(401, message, code="invalid_api_key", headers=CHALLENGE)
        found = digests[matches.index(True)]
        return Key(names[found], found.hex())

    def _read(self) -> dict[bytes, str]:
        return self._given | (_read_file(self._file) if self._file else {})


def digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _read_file(file: Path) -> dict[bytes, str]:
    """Return the names of the keys in a file by digest. Raises KeyFileError."""
    try:
        if not file.is_file():
            raise KeyFileError([f"{OPTION} {file}: there is no such file; make one with lines of name:sha256hex"])
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE + 1)
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise KeyFileError([f"{OPTION} {file}: cannot be read ({error.strerror})"]) from None
    except UnicodeDecodeError:
        raise KeyFileError([f"{OPTION} {file}: is no text in UTF-8; it needs lines of name:sha256hex"]) from None
    if len(content) > MAX_FILE:
        raise KeyFileError([f"{OPTION} {file}: is larger than {MAX_FILE} bytes"])
    names: dict[bytes, str] = {}
    faults = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        name, _, hexadecimal = line.partition(":")
        if fault := _fault(name, hexadecimal.lower(), names):
            faults.append(f"{OPTION} {file}, line {number}: {fault}")
        else:
            names[bytes.fromhex(hexadecimal)] = name
    if not names and not faults:
        faults = [f"{OPTION} {file}: has no key; add a line of name:sha256hex"]
    if faults:
        more = [f"{OPTION} {file}: {len(faults) - MAX_FAULTS} more faults"] if len(faults) > MAX_FAULTS else []
        raise KeyFileError([*faults[:MAX_FAULTS], *more])
    return names


def _fault(name: str, hexadecimal: str, names: dict[bytes, str]) -> str:
    """Return what is wrong with a line, or "". The text shows nothing of the line but a name that is right.

    What stands in place of the digest may be the key itself.
    """
    if not _NAME.fullmatch(name):
        return "expected name:sha256hex, with a name of 1 to 64 letters, digits, '.', '_' and '-'"
    if name.startswith(_OPTION_NAME):
        return f"names that begin with {_OPTION_NAME} belong to the keys of --api-key; choose another"
    if not _DIGEST.fullmatch(hexadecimal):
        return f"the digest of {name} is not 64 hexadecimal digits; {_COMMAND} prints them"
    if hexadecimal == digest(b"").hex():
        return f"the digest of {name} is that of an empty key; was KEY set when {_COMMAND} ran?"
    if name in names.values():
        return f"the name {name} is taken by an earlier line; each key needs a name of its own"
    if other := names.get(bytes.fromhex(hexadecimal)):
        return f"the key of {name} is that of {other}; each name needs a key of its own"
    return ""


def _shown(headers: Headers) -> Iterator[str]:
    """Yield the API keys of a request: OpenAI's clients send Authorization, Anthropic's x-api-key, Azure's api-key."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    for given in (key if scheme.lower() == "bearer" else "", *map(headers.get, ("x-api-key", "api-key"))):
        if given and given.strip():
            yield given.strip()


def _masked(key: str) -> str:
    return f"{key[:3]}***{key[-4:]}" if len(key) > 15 and key.isascii() and key.isprintable() else "***"
