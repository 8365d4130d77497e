"""What this server answers of Ollama's API: GET /api/version, GET /api/tags and POST /api/show.

They serve clients that list models there and then use OpenAI's routes. Only facts are given: what is not known is left
out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from apis.rules.answers import Answer
from apis.rules.fields import Shape, read
from apis.rules.requests import ignored
from core.errors import MAX_MESSAGE, RequestError
from core.model_facts import ModelFacts

Json = dict[str, Any]

EXAMPLES = {"A model": {"model": "functionary"}}
LATEST = ":latest"  # the tag that Ollama's clients add to a name without one
_FORMATS = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}


class ShowRequest(Shape):
    """The body of POST /api/show."""

    refuses_unknown = "never"  # `ignored` has OpenAI's text for the fields of a body

    model: str | None = Field(None, description="One of the names in /api/tags.", examples=["functionary"])
    name: str | None = Field(None, description="The older name of the field model.")
    verbose: bool | None = Field(False, description="Ignored: the answer is always short.")


class OllamaError(Answer):
    """The body of every answer to a failed request."""

    error: str = Field(max_length=MAX_MESSAGE, description="What was wrong and what would be right.")


class OllamaVersion(Answer):
    """The answer of GET /api/version."""

    version: str = Field(description="The version of this server, which is not one of Ollama's.")


class OllamaDetails(Answer):
    """Facts about the checkpoint."""

    parent_model: str = Field(description="Always empty.")
    format: str = Field(description="The format of the weights' file: gguf or safetensors.")
    family: str = Field(description="The model's type, such as llama.")
    families: list[str] = Field(description="The same in a list.")
    parameter_size: str = Field("", description="The number of parameters, such as 134.5M. Absent if not known.")
    quantization_level: str = Field(description="The number format of the loaded weights, such as BF16 or INT8.")


class OllamaModel(Answer):
    """One name of the served model."""

    name: str = Field(description="The name to put into the field model of a request.")
    model: str = Field(description="The same.")
    modified_at: str = Field(description="The time at which the model was loaded.")
    size: int = Field(0, description="The size of the weights on disk, in bytes. Absent if not known.")
    digest: str = Field(description="The SHA-256 of the other facts in this entry, not of the weights.")
    details: OllamaDetails = Field(description="Facts about the checkpoint.")


class OllamaTags(Answer):
    """The answer of GET /api/tags."""

    models: list[OllamaModel] = Field(description="One entry for each name; all of them name the same model.")


class OllamaShown(Answer):
    """The answer of POST /api/show."""

    modified_at: str = Field(description="The time at which the model was loaded.")
    template: str = Field(description="The name of the model's prompt format.")
    parameters: str = Field(description="The defaults of requests, one to a line: num_ctx, temperature and top_p.")
    details: OllamaDetails = Field(description="Facts about the checkpoint.")
    model_info: dict[str, str | int] = Field(
        description="general.architecture, general.parameter_count if known, and ARCHITECTURE.context_length."
    )
    capabilities: list[str] = Field(description="completion, tools, and thinking if the prompt format marks reasoning.")


@dataclass(frozen=True)
class Shown:
    """A request for one model's facts."""

    model: str
    ignored: tuple[str, ...] = ()


def show_request(body: Json, *, strict_openai: bool = False) -> Shown:
    """Check the body of POST /api/show. Raises RequestError for the first problem."""
    asked = read(ShowRequest, body, strict_openai=strict_openai)
    name = asked.model or asked.name
    if not name:
        raise RequestError("Missing required parameter: 'model'.", "model", "missing_required_parameter")
    return Shown(name, ignored(body, ShowRequest, (), strict_openai=strict_openai))


def tags(names: Iterable[str], facts: ModelFacts, created: int) -> Json:
    """Build the answer of GET /api/tags. `created` is the time at which the model was loaded."""
    return {"models": [_entry(name, facts, created) for name in names]}


def shown(
    facts: ModelFacts,
    created: int,
    *,
    template: str,
    max_context: int,
    temperature: float,
    top_p: float,
    has_reasoning: bool,
) -> Json:
    """Build the answer of POST /api/show."""
    architecture = facts.architecture or "unknown"
    count = {} if facts.num_parameters is None else {"general.parameter_count": facts.num_parameters}
    return {
        "modified_at": _time(created),
        "template": template,
        "parameters": f"num_ctx {max_context}\ntemperature {temperature:g}\ntop_p {top_p:g}",
        "details": _details(facts),
        "model_info": {
            "general.architecture": architecture,
            **count,
            f"{architecture}.context_length": max_context,
        },
        "capabilities": ["completion", "tools", *(["thinking"] if has_reasoning else [])],
    }


def _entry(name: str, facts: ModelFacts, created: int) -> Json:
    identity = json.dumps([name, asdict(facts)], sort_keys=True)
    size = {} if facts.num_bytes is None else {"size": facts.num_bytes}
    return {
        "name": name,
        "model": name,
        "modified_at": _time(created),
        **size,
        "digest": hashlib.sha256(identity.encode()).hexdigest(),
        "details": _details(facts),
    }


def _details(facts: ModelFacts) -> Json:
    architecture = facts.architecture or "unknown"
    count = {} if facts.num_parameters is None else {"parameter_size": _short(facts.num_parameters)}
    return {
        "parent_model": "",
        "format": facts.file_format or "unknown",
        "family": architecture,
        "families": [architecture],
        **count,
        "quantization_level": _FORMATS.get(facts.number_format, facts.number_format.upper()) or "unknown",
    }


def _short(number: int) -> str:
    return f"{number / 1e9:.1f}B" if number >= 1e9 else f"{number / 1e6:.1f}M"


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
