"""Run `agent.mcp_server` with a scripted model: `python scripted_mcp_server.py FOLDER OUTPUT [OPTIONS]`.

It loads the tiny checkpoint of FOLDER, whose engine is replaced by one that writes OUTPUT; "fails" stands for a
checkpoint that cannot be loaded. Loading prints to standard output too, which must not reach the client.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from agent import mcp_server
from core.errors import ModelError
from inference import Model, load_model
from tests.support.scripted_engine import scripted


def load(*args: Any, **options: Any) -> Model:
    print("loading", flush=True)
    os.write(1, b"100%\r")
    if sys.argv[2] == "fails":
        raise ModelError("there is no such model")
    return scripted(load_model(sys.argv[1], dtype="float32"), sys.argv[2])[0]


if __name__ == "__main__":
    vars(mcp_server)["load_model"] = load
    mcp_server.main(sys.argv[3:])
