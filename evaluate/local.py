"""Endpoints without HTTP: a model in this process, and a baseline without a model."""

from __future__ import annotations

import asyncio
import hashlib
import time
from contextlib import aclosing
from functools import partial
from pathlib import Path

from apis.chat_completions import Choice, chat_request, fold
from checkpoints.checkpoint import open_checkpoint
from checkpoints.embedded_tokenizer import TEMPLATE
from client.endpoints import Answer, NoAnswer, read_answer
from client.json_lines import Json
from core.conversation import Call
from core.errors import EngineBusy, EngineError, ModelError, RequestError
from core.turn_format import Finish
from engines.local.threads import run_in_own_thread
from inference import Model, load_model, stream
from prompt_template import Arguments, load_template

BASELINES = ("first-function",)
BUSY_WAIT_S = 0.2
WEIGHTS = "adapter_model.safetensors"


class EngineEndpoint:
    """A model in this process. Requests get the same checks, template and turn format as on the server.

    name: identifies the weights in reports; by default the name of the model.
    """

    def __init__(self, model: Model, name: str = "", *, timeout_s: float = 300.0) -> None:
        self.model = name or model.names[0]
        self._model = model
        self._timeout_s = timeout_s

    async def answer(self, body: Json) -> Answer:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._admitted(body, started)
        except TimeoutError:
            raise NoAnswer(f"{self.model} did not answer within {self._timeout_s:g} s") from None
        except RequestError as error:
            return Answer(error=error.message, seconds=round(time.monotonic() - started, 3))
        except EngineError as error:
            raise NoAnswer(f"{self.model}: {error}") from None

    async def _admitted(self, body: Json, started: float) -> Answer:
        while True:
            try:
                return await self._answered(body, started)
            except EngineBusy:  # more requests are in flight than the engine's queue holds
                await asyncio.sleep(BUSY_WAIT_S)

    async def _answered(self, body: Json, started: float) -> Answer:
        request = chat_request({"model": self._model.names[0], **body})
        choice, num_prompt, num_completion = Choice(request), 0, 0
        chunks: list[Json] = []
        async with aclosing(stream(self._model, request)) as events:
            async for event in events:
                chunks += choice.chunks(event)
                if isinstance(event, Finish):
                    num_prompt, num_completion = event.prompt_tokens, event.completion_tokens
        usage = {"prompt_tokens": num_prompt, "completion_tokens": num_completion}
        return read_answer({"choices": [fold(chunks)], "usage": usage}, time.monotonic() - started)


class FirstFunction:
    """The baseline without a model. It always calls the first function once, without arguments."""

    model = "first function, no arguments"

    async def answer(self, body: Json) -> Answer:
        names = [tool["function"]["name"] for tool in body.get("tools", ())]
        return Answer(calls=tuple(Call(name, "{}") for name in names[:1]), finish_reason="stop")


def load(name: str | None, adapter: str, arguments: Arguments | None = None) -> tuple[Model, str]:
    """Load a model from a folder, from the hub or, for None, from the embedded package. Returns it with a name.

    The name identifies the weights and how the arguments of calls are bound. `adapter` applies to the embedded model
    only: "" is the adapter that the server uses, "none" is no adapter, and anything else is a folder. `arguments` is
    the server's option. Raises ModelError.
    """
    if name is not None:
        if adapter:
            raise ModelError("--adapter belongs to the embedded model: leave out --model, or merge the adapter first.")
        model = load_model(name, arguments=arguments)
        return model, name + _bound(model)
    folder = _adapter(adapter)
    model = run_in_own_thread(partial(embedded_model, folder, arguments))
    adapter_name = "no adapter"
    if folder is not None and (folder / WEIGHTS).exists():
        adapter_name = f"adapter {hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()[:8]}"
    return model, f"{model.names[0]}, {adapter_name}{_bound(model)}"


def _bound(model: Model) -> str:
    return ", arguments by the schema" if model.arguments == "schema" else ""


def embedded_model(adapter: Path | None, arguments: Arguments | None = None) -> Model:
    """Load the embedded model as the server does, but with any adapter or none."""
    from checkpoints import embedded  # this imports torch, which other endpoints do not need
    from engines.local import devices
    from engines.local.engine import LocalEngine

    checkpoint = open_checkpoint(None)
    reader = embedded.open_file(str(checkpoint.path))
    device = devices.pick_device("auto")
    weights = embedded.load_model(reader, devices.pick_dtype("auto", device), device, adapter)
    max_context = weights.config.max_position_embeddings
    template = load_template(TEMPLATE)
    return Model(
        names=(checkpoint.name,),
        template=template,
        tokenizer=checkpoint.tokenizer,
        engine=LocalEngine(weights, checkpoint.tokenizer.backend, max_context, eos_id=checkpoint.tokenizer.eos_id),
        arguments=arguments or template.arguments,
    )


def _adapter(wanted: str) -> Path | None:
    from checkpoints import embedded

    if wanted and wanted != "none" and not (Path(wanted) / WEIGHTS).is_file():
        raise ModelError(f"--adapter {wanted}: no {WEIGHTS} in it; give the folder that training wrote, or `none`.")
    return None if wanted == "none" else Path(wanted or embedded.ADAPTER)
