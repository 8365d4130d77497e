"""The served model as clients of OpenAI, Anthropic and Ollama list it; and what this server does not offer."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForCausalLM

from checkpoints.checkpoint import open_checkpoint
from checkpoints.weights import find_weights
from core.model_facts import ModelFacts
from inference import Model, load_model
from server import create_app
from tests.support.abuse_client import Answer, Client
from tests.support.scripted_engine import scripted
from tests.support.serving import serving
from web.settings import Settings

NAMES = ("a", "org/b", "c")
VERSION = {"anthropic-version": "2023-06-01"}
KEY = "sk-lists"


@pytest.fixture(scope="module")
def three(chatml: Model) -> Model:
    """A model with three names and known facts."""
    facts = ModelFacts("llama", "gguf", "bfloat16", num_parameters=134_515_008, num_bytes=98_000_000)
    model, _ = scripted(replace(chatml, names=NAMES, facts=facts, temperature=0.5, top_p=1.0), "all\nhello")
    return model


@pytest.fixture(scope="module")
def url(three: Model) -> Iterator[str]:
    with serving(create_app(lambda: three)) as url:
        yield url


def get(url: str, path: str, headers: dict[str, str] | None = None) -> Answer:
    with Client(url) as client:
        return client.send("GET", path, headers=headers)


def show(url: str, body: object) -> Answer:
    with Client(url) as client:
        return client.post("/api/show", body)


# OpenAI


def test_openai_has_the_context_length_that_vllm_states(three: Model, url: str) -> None:
    cards = get(url, "/v1/models").json["data"]
    common = {"object": "model", "created": three.created, "owned_by": "functionary", "max_model_len": 4096}
    assert cards == [{"id": name, **common} for name in NAMES]
    assert get(url, "/v1/models/org/b").json == cards[1]


def test_strict_openai_states_nothing_beyond_openai(three: Model) -> None:
    with serving(create_app(lambda: three, Settings(strict_openai=True))) as url:
        for card in (*get(url, "/v1/models").json["data"], get(url, "/v1/models/a").json):
            assert card.keys() == {"id", "object", "created", "owned_by"}


# Anthropic


def test_the_version_header_asks_for_anthropics_shape(three: Model, url: str) -> None:
    page = get(url, "/v1/models", VERSION).json
    assert page.keys() == {"data", "has_more", "first_id", "last_id"}
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, "a", "c")
    assert [card["id"] for card in page["data"]] == [card["display_name"] for card in page["data"]] == list(NAMES)
    card = get(url, "/v1/models/org/b", VERSION).json
    assert card == page["data"][1]
    assert (card["type"], card["lifecycle"], card["max_input_tokens"]) == ("model", "active", 4096)
    assert datetime.fromisoformat(card["created_at"]) == datetime.fromtimestamp(three.created, UTC)
    unknown = get(url, "/v1/models/nope", VERSION)
    assert (unknown.status, unknown.json["type"], unknown.error["type"]) == (404, "error", "not_found_error")
    assert unknown.json["request_id"] == unknown.headers["x-request-id"]


@pytest.mark.parametrize(
    ("query", "names", "has_more"),
    [
        ("limit=2", ["a", "org/b"], True),
        ("limit=3", ["a", "org/b", "c"], False),
        ("limit=1&after_id=a", ["org/b"], True),
        ("limit=1&after_id=org/b", ["c"], False),
        ("after_id=c", [], False),
        ("limit=1&before_id=c", ["org/b"], True),
        ("before_id=a", [], False),
        ("lifecycle=active&x=y", ["a", "org/b", "c"], False),
    ],
)
def test_pages(url: str, query: str, names: list[str], has_more: bool) -> None:
    page = get(url, f"/v1/models?{query}", VERSION).json
    assert [card["id"] for card in page["data"]] == names
    assert page["has_more"] == has_more
    assert (page["first_id"], page["last_id"]) == ((names[0], names[-1]) if names else (None, None))


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "limit=", "limit=-1", "limit=9999999999999999"])
def test_a_wrong_limit(url: str, query: str) -> None:
    answer = get(url, f"/v1/models?{query}", VERSION)
    assert (answer.status, answer.error["param"], answer.error["type"]) == (400, "limit", "invalid_request_error")
    assert get(url, f"/v1/models?{query}").status == 200  # OpenAI's list has no pages


@pytest.mark.parametrize("key", ["after_id", "before_id"])
def test_a_page_beside_an_unknown_name(url: str, key: str) -> None:
    answer = get(url, f"/v1/models?{key}=nope", VERSION)
    assert (answer.status, answer.error["param"]) == (400, key)


# Ollama


def test_tags(three: Model, url: str) -> None:
    models = get(url, "/api/tags").json["models"]
    assert [one["name"] for one in models] == [one["model"] for one in models] == list(NAMES)
    assert len({one["digest"] for one in models}) == 3
    assert all(re.fullmatch("[0-9a-f]{64}", one["digest"]) for one in models)
    assert models == get(url, "/api/tags").json["models"]
    first = models[0]
    assert first["size"] == 98_000_000
    assert datetime.fromisoformat(first["modified_at"]) == datetime.fromtimestamp(three.created, UTC)
    assert first["details"] == {
        "parent_model": "",
        "format": "gguf",
        "family": "llama",
        "families": ["llama"],
        "parameter_size": "134.5M",
        "quantization_level": "BF16",
    }


def test_show(url: str) -> None:
    for body in ({"model": "a"}, {"name": "a"}, {"model": "a:latest"}, {"model": "a", "verbose": True}):
        answer = show(url, body)
        assert (answer.status, answer.headers.get("x-ignored-fields")) == (200, None)
    shown = answer.json
    assert shown["details"] == get(url, "/api/tags").json["models"][0]["details"]
    assert shown["capabilities"] == ["completion", "tools"]
    assert shown["parameters"] == "num_ctx 4096\ntemperature 0.5\ntop_p 1"
    assert shown["template"] == "functionary_v3_chatml"
    expected = {
        "general.architecture": "llama",
        "general.parameter_count": 134_515_008,
        "llama.context_length": 4096,
    }
    assert shown["model_info"] == expected
    assert show(url, {"model": "a", "zzz": 1}).headers["x-ignored-fields"] == "zzz"


def test_what_is_not_known_is_left_out(chatml: Model) -> None:
    model, _ = scripted(replace(chatml, facts=ModelFacts()), "all\nhello")
    with serving(create_app(lambda: model)) as url:
        (one, *_) = get(url, "/api/tags").json["models"]
        assert "size" not in one and "parameter_size" not in one["details"]
        assert one["details"]["quantization_level"] == one["details"]["format"] == one["details"]["family"] == "unknown"
        assert "general.parameter_count" not in show(url, {"model": "tiny"}).json["model_info"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"model": "nope"}, 404, "The model 'nope' does not exist"),
        ({"model": "nope:latest"}, 404, "The model 'nope' does not exist"),
        ({}, 400, "Missing required parameter: 'model'."),
        ({"model": ""}, 400, "Missing required parameter: 'model'."),
        ({"model": 5}, 400, "Invalid type for 'model': expected a string, but got an integer instead."),
        (b"{", 400, "We could not parse the JSON body"),
        (b"[]", 400, "Expected a JSON object"),
    ],
)
def test_errors_are_a_text_as_ollamas_clients_read_them(url: str, body: object, status: int, message: str) -> None:
    """Ollama's clients show the field `error` as it is; OpenAI's object there would be shown as JSON or worse."""
    answer = show(url, body)
    assert answer.status == status
    assert answer.json.keys() == {"error"}
    assert message in answer.json["error"]


def test_a_key_is_needed_and_its_error_is_a_text(three: Model) -> None:
    with serving(create_app(lambda: three, Settings(api_keys=[KEY]))) as url:
        for path in ("/api/version", "/api/tags", "/api/chat"):
            answer = get(url, path)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert "You didn't provide an API key." in answer.json["error"]
        version = get(url, "/api/version", {"Authorization": f"Bearer {KEY}"}).json
        assert version == {"version": get(url, "/").json["version"]}


# What is not offered


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/api/chat", "POST /v1/chat/completions"),
        ("/api/generate", "POST /v1/chat/completions"),
        ("/api/ps", "GET /api/tags and POST /api/show"),
        ("/api/embed", "This server has no embeddings: use another server for them."),
        ("/api/embeddings", "This server has no embeddings: use another server for them."),
        *((f"/api/{name}", "--model") for name in ("pull", "push", "create", "copy", "delete", "blobs/sha256:0")),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_other_routes_of_ollama_say_what_to_do(url: str, path: str, says: str, method: str) -> None:
    with Client(url) as client:
        answer = client.send(method, path, b'{"model": "a"}' if method == "POST" else b"")
    assert answer.status == 404
    assert says in answer.json["error"]
    assert (f"{url}/v1" in answer.json["error"]) == ("/v1/" in says or path == "/api/ps")


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings", "/v1/embeddings/", "/v1/v1/embeddings"])
def test_embeddings_are_not_offered(url: str, path: str) -> None:
    with Client(url) as client:
        answer = client.post(path, {"model": "a", "input": "x"})
    assert (answer.status, answer.error["type"]) == (404, "invalid_request_error")
    assert answer.error["message"].endswith("This server has no embeddings: use another server for them.")


# Where the facts come from


def test_the_facts_of_a_folder(chatml: Model, chatml_folder: Path) -> None:
    """The number of parameters is read from headers only; it is that of the loaded model."""
    weights: Any = AutoModelForCausalLM.from_pretrained(chatml_folder)
    num_parameters = weights.num_parameters()
    num_bytes = sum(file.stat().st_size for file in chatml_folder.glob("*.safetensors"))
    assert chatml.facts == ModelFacts("llama", "safetensors", "float32", num_parameters, num_bytes)


def test_the_number_format_of_quantized_weights(chatml_folder: Path) -> None:
    assert load_model(str(chatml_folder), dtype="float32", quantize="int8").facts.number_format == "int8"


def test_the_facts_of_the_embedded_model() -> None:
    facts = find_weights(open_checkpoint(None), device="cpu").facts
    assert (facts.architecture, facts.file_format, facts.num_parameters) == ("llama", "gguf", 134_515_008)
    assert facts.number_format in ("float32", "bfloat16", "float16")
