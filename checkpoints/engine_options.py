"""The options of command lines for an engine elsewhere: `--engine-url`, `--engine` and `--engine-key`."""

from __future__ import annotations

import argparse
import os
from typing import Any

from engines.remote.address import key_fault, server_url

KEY_VARIABLE = "FUNCTIONARY_ENGINE_KEY"
TITLE = "a server elsewhere that runs the model"
# Of the engine in this process, and of a chat with another server, with their defaults.
_LOCAL = {
    "device": "auto",
    "dtype": "auto",
    **dict.fromkeys(("quantize", "max_running", "cache_mb", "max_waiting", "queue_timeout", "url")),
}


def add_engine_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--engine-url",
        action="extend",
        nargs="+",
        type=_url,
        default=[],
        metavar="URL",
        help="a vLLM, llama.cpp or SGLang server that has the weights, such as http://127.0.0.1:9000; several share "
        "the work; of --model only the small files are read here",
    )
    group.add_argument(
        "--engine", choices=("vllm", "llama.cpp", "sglang"), help="what these servers are (default: found out)"
    )
    group.add_argument("--engine-key", metavar="KEY", help=f"the key that they want; or set {KEY_VARIABLE}")


def engine_fault(options: argparse.Namespace) -> str:
    """Return why the options about the engine cannot be used together, or ""."""
    if not options.engine_url:
        alone = "--engine" if options.engine else "--engine-key" if options.engine_key is not None else ""
        return f"{alone} needs --engine-url, the server that it is about" if alone else ""
    given = [name for name, default in _LOCAL.items() if getattr(options, name, default) != default]
    if given:
        option = f"--{given[0].replace('_', '-')}"
        return f"{option} has no meaning with --engine-url, whose server runs the model; leave one of them out"
    return key_fault(_key(options))


def engine_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `load_model` that say where the engine is; {} if it is in this process."""
    if not options.engine_url:
        return {}
    urls = tuple(dict.fromkeys(options.engine_url))
    return {"engine_urls": urls, "engine": options.engine, "engine_key": _key(options)}


def _key(options: argparse.Namespace) -> str | None:
    given: str | None = options.engine_key
    return os.environ.get(KEY_VARIABLE) if given is None else given


def _url(text: str) -> str:
    try:
        return server_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
