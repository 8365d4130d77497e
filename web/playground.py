"""The files of the page for browsers, and the headers under which they run no other code."""

from __future__ import annotations

from pathlib import Path

from starlette.responses import Response

_FOLDER = Path(__file__).parent.parent / "playground"
_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
PAGE = "index.html"
# Only these files are served, so that a name in a URL can lead to no other one.
FILES = frozenset(path.name for path in _FOLDER.iterdir() if path.suffix[1:] in _KINDS and path.name != PAGE)
PATHS = frozenset(f"/playground/{name}" for name in FILES)

# The page shows texts of models and tools: no inline script or style, no other host, no frame, no HTML from a string.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",  # after an update of the server, its API and the page belong together
}


def served_file(name: str) -> Response:
    """Return a file of the page. `name` is PAGE or one of FILES."""
    kind = _KINDS[name.rpartition(".")[2]]
    return Response((_FOLDER / name).read_bytes(), headers=_HEADERS, media_type=kind)
