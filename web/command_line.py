"""The options of `python3 server.py`, the checks before the model loads, and the lines printed at start."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from agent.sources import add_options
from agent.tools import Tool
from checkpoints.engine_options import TITLE as ENGINE_ELSEWHERE
from checkpoints.engine_options import add_engine_options, engine_fault
from core.errors import ModelError
from inference import Model
from prompt_template import GENERIC, template_names
from web.settings import DRAIN_TIMEOUT_S, KEEP_ALIVE_S
from web.sites import ANY_ORIGIN, LOOPBACK, ORIGIN, hostname
from web.telemetry_options import add_telemetry_options, telemetry_fault

KEY_VARIABLE = "FUNCTIONARY_API_KEY"
QUEUE_TIMEOUT_S = 60  # clients that wait longer have often left or given up
MAX_TOLD = 12  # names of tools in the lines at start
_TEMPLATES = (*template_names(), GENERIC)


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the options. An invalid option ends the process with status 2 and a one-line message."""
    parser = _Parser(
        prog="server.py",
        description="Serve a Functionary model over OpenAI's API; without options the embedded one on 127.0.0.1:8000.",
    )
    _add_model_options(parser.add_argument_group("model"))
    add_engine_options(parser.add_argument_group(ENGINE_ELSEWHERE))
    http = parser.add_argument_group("server")
    http.add_argument("--host", default="127.0.0.1", help="address to listen on; other than loopback needs a key")
    http.add_argument("--port", type=_port, default=8000, help="default: 8000; 0 takes a free one")
    http.add_argument(
        "--served-model-name",
        nargs="+",
        default=[],
        metavar="NAME",
        help="further names that requests may use; '*': any",
    )
    _add_site_options(http)
    http.add_argument(
        "--keep-alive",
        type=_positive,
        default=KEEP_ALIVE_S,
        metavar="SECONDS",
        help="how long a connection without requests stays open (default: %(default)s)",
    )
    http.add_argument(
        "--step-timeout",
        type=_positive,
        metavar="SECONDS",
        help="a longer step, or silence of a server of --engine-url, counts as hung, and /health answers 503 (default: "
        "60 on a GPU, else 120)",
    )
    http.add_argument("--stay-up", action="store_true", help="do not exit when the engine cannot go on; for debugging")
    _add_admission_options(parser.add_argument_group("keys, limits and shutdown"))
    rules = parser.add_argument_group("rules for requests")
    rules.add_argument(
        "--strict-openai",
        action="store_true",
        help="refuse all that OpenAI refuses, unknown fields too (see docs/api.md)",
    )
    _add_answer_options(parser.add_argument_group("answers"))
    add_telemetry_options(parser.add_argument_group("logs and traces"))
    add_options(parser.add_argument_group("tools that the server runs for requests with server_tools"))
    options = parser.parse_args(arguments)
    options.api_key += [os.environ[KEY_VARIABLE]] if os.environ.get(KEY_VARIABLE) else []
    if any(not key.strip() for key in options.api_key):
        parser.error("--api-key is empty; give a long random string")
    if options.host not in LOOPBACK and not has_keys(options):
        parser.error(
            f"--host {options.host} opens the server to other machines: give --api-key or --api-key-file too, "
            f"or set {KEY_VARIABLE}"
        )
    if fault := engine_fault(options) or _fault_of_tools(options) or telemetry_fault(options):
        parser.error(fault)
    if options.template and options.template not in _TEMPLATES:
        parser.error(f"--template {options.template}: there is none; choose from {', '.join(_TEMPLATES)}")
    return options


def _add_model_options(model: argparse._ArgumentGroup) -> None:
    model.add_argument(
        "--model", metavar="NAME", help="a folder or a name on the hub (default: the embedded 135M model)"
    )
    model.add_argument("--revision", help="branch, tag or commit of the checkpoint on the hub")
    model.add_argument(
        "--template", metavar="NAME", help=f"prompt format, detected if not given: {', '.join(_TEMPLATES)}"
    )
    model.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:0, mps (default: the GPU if there is one)"
    )
    model.add_argument(
        "--dtype", default="auto", help="auto, float32, bfloat16, float16 (default: what suits the device)"
    )
    model.add_argument(
        "--max-context", type=_positive, metavar="TOKENS", help="shorten the context to this many tokens"
    )
    model.add_argument(
        "--quantize", choices=("int8", "int4"), help="fewer bits for each weight; int4 on a GPU only (bitsandbytes)"
    )
    model.add_argument(
        "--arguments",
        choices=("schema", "free"),
        help="whether a function's schema binds the arguments of calls that the model opens by itself (default: free "
        "for Functionary's own checkpoints, else schema)",
    )
    model.add_argument(
        "--max-running", type=_positive, metavar="N", help="requests in one batch (default: 16); others wait"
    )
    model.add_argument(
        "--cache-mb",
        type=_positive,
        metavar="MB",
        help="memory for keys and values, of running requests and of what is remembered (default: what can be filled, "
        "at most a quarter of the memory at hand; on a CPU at most 1024, or one full context if that is more)",
    )


def _add_site_options(http: argparse._ArgumentGroup) -> None:
    http.add_argument(
        "--allow-origin",
        action="extend",
        nargs="+",
        type=_origin,
        default=[],
        metavar="URL",
        help="web sites whose pages may use the server, as https://app.example; '*': all, null: local files too",
    )
    http.add_argument(
        "--allow-host",
        action="extend",
        nargs="+",
        type=_host,
        default=[],
        metavar="HOST",
        help="further host names of this server, as host.docker.internal; needed only without --api-key",
    )


def _add_admission_options(admission: argparse._ArgumentGroup) -> None:
    admission.add_argument(
        "--api-key", action="append", default=[], metavar="KEY", help=f"may be repeated; or set {KEY_VARIABLE}"
    )
    admission.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="keys with names, a line of name:sha256hex for each; read again on SIGHUP",
    )
    counts = {
        "--rate-limit-requests": "requests that each key may send in a minute (default: any number)",
        "--rate-limit-tokens": "tokens of prompts and answers that each key may use in a minute (default: any number)",
        "--max-waiting": "requests that may wait for a slot (default: 128); others get 429",
    }
    for option, meaning in counts.items():
        admission.add_argument(option, type=_positive, metavar="N", help=meaning)
    durations = {
        "--queue-timeout": (None, f"a request that waits longer for a slot gets 503 (default: {QUEUE_TIMEOUT_S})"),
        "--drain-timeout": (DRAIN_TIMEOUT_S, "time for running requests after SIGTERM (default: %(default)s)"),
    }
    for option, (default, meaning) in durations.items():
        admission.add_argument(option, type=_positive, default=default, metavar="SECONDS", help=meaning)


def has_keys(options: argparse.Namespace) -> bool:
    """Whether requests need an API key."""
    return bool(options.api_key or options.api_key_file)


def _add_answer_options(answers: argparse._ArgumentGroup) -> None:
    answers.add_argument(
        "--reasoning-field",
        choices=("reasoning_content", "reasoning", "both"),
        default="reasoning_content",
        help="the field of answers that holds the model's reasoning (default: %(default)s)",
    )
    answers.add_argument(
        "--tool-search",
        type=_positive,
        metavar="N",
        help="of a request with more tools, show the model the N nearest to what was said (default: all)",
    )
    answers.add_argument(
        "--response-store",
        type=Path,
        metavar="FILE",
        help="an SQLite file that keeps the answers of /v1/responses over restarts (default: in memory)",
    )
    answers.add_argument(
        "--response-store-mb",
        type=_positive,
        metavar="MB",
        help="how much of them is kept; the oldest go first (default: 48 in memory, 256 in a file)",
    )


def _fault_of_tools(options: argparse.Namespace) -> str:
    """Return why the options that name tools cannot be used, or ""."""
    given = next((f"--{name}" for name in ("tools", "openapi", "mcp") if getattr(options, name)), "")
    if given and options.strict_openai:
        return f"{given} has no use with --strict-openai, which refuses the field server_tools; give one of them"
    opened = "--allow-host" if options.allow_host else "--allow-origin" if options.allow_origin else ""
    if given and opened and not has_keys(options):
        return f"{opened} lets others run the tools of {given}: give --api-key too, or set {KEY_VARIABLE}"
    return ""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with one line, like every other failure at start; argparse would print the usage before it."""
        self.exit(2, f"functionary: {message.removeprefix('argument ')}; --help lists the options\n")


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens on the address. It is opened before the model loads, so that an error comes early.

    Raises ModelError if the address is in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _look_for_lost_peers(listener)
        listener.bind(address)
        listener.listen()  # with SO_REUSEADDR, two processes can bind one address, but only one can listen on it
    except OSError as error:
        raise ModelError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another --host or --port"
        ) from None
    return listener


def _look_for_lost_peers(listener: socket.socket) -> None:
    """Enable TCP keepalive: a client that vanishes sends no FIN, and its request would keep a slot until its end.

    Accepted connections inherit the options. Probes are sent after 30 s without traffic, every 10 s, three times.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # TCP_KEEPIDLE has another name on macOS
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def introduction(model: Model, options: argparse.Namespace, port: int, tools: Sequence[Tool] = ()) -> str:
    """Return the lines that are printed once the model is loaded.

    They have the model's names, the format, the calls, the server's tools, the device or the engine elsewhere, the
    context, and the address.
    """
    shown = f"[{options.host}]" if ":" in options.host else options.host
    is_open = not has_keys(options) and {ANY_ORIGIN, "null"} & set(options.allow_origin)
    arguments = "bound by the schema" if model.arguments == "schema" else "free"
    where = "engine" if options.engine_url else "device"
    return "\n".join(
        (
            f"model    {', '.join((*model.names, *(['any other name'] if model.takes_any_name else [])))}",
            f"format   {model.template.name}{f' ({model.template_reason})' if model.template_reason else ''}",
            f"calls    names bound to the request's functions, arguments {arguments}",
            *([f"tools    {_told_tools(tools)}"] if tools else []),
            f"{where}   {model.engine.description()}",
            f"context  {model.engine.max_context} tokens",
            f"address  http://{shown}:{port}/v1",
            *(["caution  without --api-key, any web site in a browser here may use the model"] if is_open else []),
        )
    )


def _told_tools(tools: Sequence[Tool]) -> str:
    """Return how many tools come from each source, and their names."""
    sources = dict.fromkeys(tool.source for tool in tools)
    told = []
    for source in sources:
        names = [tool.name for tool in tools if tool.source == source]
        more = f" and {len(names) - MAX_TOLD} more" if len(names) > MAX_TOLD else ""
        told.append(f"{len(names)} from {source or 'a file'} ({', '.join(names[:MAX_TOLD])}{more})")
    unconfirmed = [tool.name for tool in tools if tool.needs_confirmation]
    without = f"; not run, since they need a confirmation: {', '.join(unconfirmed[:MAX_TOLD])}" if unconfirmed else ""
    return "; ".join(told) + without


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def _origin(text: str) -> str:
    """Return the origin as browsers send it: in small letters, without a slash at the end or the usual port."""
    origin = text.lower().removesuffix("/")
    for scheme, port in (("http", ":80"), ("https", ":443")):
        if origin.startswith(f"{scheme}://"):
            origin = origin.removesuffix(port)
    if origin not in (ANY_ORIGIN, "null") and not ORIGIN.fullmatch(origin):
        raise argparse.ArgumentTypeError(f"{text!r} is not an origin; use one such as https://app.example, '*' or null")
    return origin


def _host(text: str) -> str:
    if not hostname(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a host name; use one such as host.docker.internal")
    return hostname(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; use 0 to 65535")
    return int(text)
