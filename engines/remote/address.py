"""The checks of a server's URL and key, before anything is sent."""

from __future__ import annotations

from urllib.parse import urlsplit


def server_url(text: str) -> str:
    """Return the URL without a slash or `/v1` at its end. Raises ValueError with what would be right."""
    try:
        parts = urlsplit(text)
        is_server = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number below 65,536, or a bracket is missing
        is_server = False
    has_more = any(mark in text for mark in "?#@")  # a key in the URL would be in the log; --engine-key is not
    if not is_server or has_more or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is not the URL of a server; use one such as http://127.0.0.1:9000")
    return text.rstrip("/").removesuffix("/v1")


def key_fault(key: str | None) -> str:
    """Return why no HTTP header can hold the key, or ""."""
    if key is None or (key.strip() and key.isascii() and key.isprintable()):
        return ""
    return "--engine-key is empty or has other characters than ASCII; give the key that the server expects"
