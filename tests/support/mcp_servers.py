"""A small MCP server for tests, run as a script: `python mcp_servers.py MODE [FILE]`. It writes plain JSON lines.

It does not use the `mcp` package, so that it starts fast and can break every rule. Each start and each call adds a line
to FILE.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

Json = dict[str, Any]

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
NOTHING: Json = {"type": "object", "properties": {}}
TOOLS: list[Json] = [
    {"name": "echo", "description": "Return the text.", "inputSchema": {**TEXT, "$schema": "urn:none"}},
    {"name": "notes.add/new", "description": "Add a note.", "inputSchema": TEXT},
    {"name": "remove", "inputSchema": NOTHING, "annotations": {"destructiveHint": True}},
    {"name": "fail", "inputSchema": NOTHING},
    {"name": "structured", "inputSchema": NOTHING},
    {"name": "mixed", "inputSchema": NOTHING},
    {"name": "picture", "inputSchema": NOTHING},
    {"name": "die", "inputSchema": NOTHING},
    {"name": "hang", "inputSchema": NOTHING},
    {"name": "huge", "inputSchema": NOTHING},
    {"name": "big", "inputSchema": NOTHING},
    {"name": "secret", "inputSchema": NOTHING},
    {"name": "later", "inputSchema": NOTHING, "execution": {"taskSupport": "required"}},
    {"name": "broken", "inputSchema": {"type": "object", "properties": {"x": {"type": "nonsense"}}}},
]
IMAGE = {"type": "image", "data": "aGk=", "mimeType": "image/png"}


def text(value: str, **more: object) -> Json:
    return {"content": [{"type": "text", "text": value}], **more}


def note(line: str) -> None:
    if len(sys.argv) > 2:
        with Path(sys.argv[2]).open("a") as file:
            file.write(line + "\n")


def send(message: Json) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def result_of(name: str, arguments: Json) -> Json:
    """Return what the tool returns, or do not return."""
    if name == "die":
        os._exit(3)
    if name == "hang":
        time.sleep(600)
    if name == "huge":  # one message without an end
        sys.stdout.write('{"jsonrpc": "2.0", "id": 1, "result": "')
        while True:
            sys.stdout.write("x" * 65536)
    results: dict[str, Json] = {
        "fail": text("there is no such note", isError=True),
        "structured": {"content": [], "structuredContent": {"sum": 5}},
        "mixed": {
            "content": [
                {"type": "text", "text": "two"},
                IMAGE,
                {"type": "resource_link", "uri": "file:///a.txt", "name": "a"},
                {"type": "resource", "resource": {"uri": "file:///b.txt", "text": "inside b"}},
                {"type": "resource", "resource": {"uri": "file:///c.bin", "blob": "aGk="}},
            ]
        },
        "picture": {"content": [IMAGE]},
        "big": text("y" * 1_000_000),
        "secret": text(f"the key is {os.environ.get('API_KEY')}"),
        "remove": text("removed"),
    }
    return results.get(name) or text(str(arguments.get("text")))


def answer(request: Json) -> Json:
    method, params = request["method"], request.get("params") or {}
    if method == "initialize":
        version = params["protocolVersion"]
        capabilities: Json = {"tools": {}}
        return {"protocolVersion": version, "capabilities": capabilities, "serverInfo": {"name": "s", "version": "1"}}
    if method == "tools/list":
        if sys.argv[1] == "endless":
            return {"tools": [], "nextCursor": "again"}
        half = len(TOOLS) // 2  # two pages
        return {"tools": TOOLS[half:]} if params.get("cursor") else {"tools": TOOLS[:half], "nextCursor": "2"}
    note(f"call {params['name']}")
    return result_of(params["name"], params.get("arguments") or {})


def main() -> None:
    mode = sys.argv[1]
    note(f"start {os.getpid()}")
    if mode == "rubbish":
        sys.stdout.write("Welcome to the server!\n\xff\xfe{}\n[]\n" + '{"jsonrpc": "1.0"}\n')
    if mode == "silent":
        time.sleep(600)
    if mode == "dies":
        print(f"cannot start: bad key {os.environ.get('API_KEY')}", file=sys.stderr)
        sys.exit(1)
    if mode == "child":  # which outlives its parent and ignores a closed input
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        note(f"child {child.pid}")
    if mode == "stubborn":
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for line in sys.stdin:
        request = json.loads(line)
        if mode == "initialize first" and request["method"] == "server/discover":
            sys.exit("the first message must be initialize")
        if mode == "dies after initialize" and request["method"] == "tools/list":
            sys.exit(1)
        if mode == "mute" and request["method"] == "tools/list":
            continue
        if "id" not in request:
            continue
        if request["method"] not in ("initialize", "tools/list", "tools/call"):
            send({"id": request["id"], "error": {"code": -32601, "message": "unknown method"}})
            continue
        send({"id": request["id"], "result": answer(request)})
    if mode == "stubborn":
        time.sleep(600)


if __name__ == "__main__":
    main()
