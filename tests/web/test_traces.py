"""Spans of requests: attributes of the conventions for generative AI, the client's trace, errors, and no contents."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest

from inference import Model
from server import create_app
from tests.support.scripted_engine import scripted
from tests.support.server_tools import RAN, SERVER_TOOLS
from tests.support.serving import serving
from tests.support.started_server import ROOT, started
from tests.support.turns_engine import with_turns
from web.command_line import read_options
from web.settings import Settings
from web.traces import traces_url

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="pip install -r requirements-telemetry.txt")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

Json = dict[str, Any]
CHAT = "/v1/chat/completions"
SECRET = "the secret of the message"
ASKED: Json = {"model": "tiny", "messages": [{"role": "user", "content": SECRET}]}
ADD = 'add\n{"a": 2, "b": 3}'


class Traced:
    """A server whose spans are kept."""

    def __init__(self, url: str, exporter: InMemorySpanExporter) -> None:
        self.url = url
        self._exporter = exporter

    def post(self, path: str, body: Json, **headers: str) -> httpx2.Response:
        return httpx2.post(f"{self.url}{path}", json=body, headers=headers)

    def spans(self) -> list[ReadableSpan]:
        """Return the ended spans in the order of their beginning."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)


def attributes(span: ReadableSpan) -> Json:
    return dict(span.attributes or {})


@contextmanager
def traced(model: Model, **settings: Any) -> Iterator[Traced]:
    """Serve the model. The spans are complete once the context of the server has ended."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = create_app(lambda: model, Settings(tracer=provider.get_tracer("test"), **settings))
    with serving(app) as url:
        yield Traced(url, exporter)
    provider.shutdown()


@pytest.fixture
def hello(chatml: Model) -> Model:
    return scripted(chatml, "all\nhello")[0]


def test_the_span_of_a_chat_completion(hello: Model) -> None:
    body = {**ASKED, "temperature": 0.5, "top_p": 0.9, "max_tokens": 7, "seed": 3, "n": 2, "frequency_penalty": 0.5}
    with traced(hello) as server:
        answer = server.post(CHAT, body)
    (span,) = server.spans()
    assert (span.name, span.kind, span.status.status_code) == ("chat tiny", SpanKind.SERVER, StatusCode.UNSET)
    usage = answer.json()["usage"]
    assert attributes(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "functionary",
        "gen_ai.request.model": "tiny",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.max_tokens": 7,
        "gen_ai.request.seed": 3,
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.frequency_penalty": 0.5,
        "gen_ai.response.id": answer.json()["id"],
        "gen_ai.response.model": "tiny",
        "gen_ai.response.finish_reasons": ("length", "length"),
        "gen_ai.usage.input_tokens": usage["prompt_tokens"],
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.output_tokens": usage["completion_tokens"],
        "http.request.method": "POST",
        "http.route": CHAT,
        "http.response.status_code": 200,
    }


def first_id(text: str) -> str:
    """Return the id of the answer in the first event of a stream."""
    first = json.loads(next(line for line in text.splitlines() if line.startswith("data: ")).removeprefix("data: "))
    return str((first.get("response") or first.get("message") or first)["id"])


@pytest.mark.parametrize(
    ("path", "body", "operation"),
    [
        (CHAT, ASKED, "chat"),
        ("/v1/completions", {"model": "tiny", "prompt": SECRET}, "text_completion"),
        ("/v1/responses", {"model": "tiny", "input": SECRET}, "chat"),
        ("/v1/messages", {**ASKED, "max_tokens": 90}, "chat"),
    ],
)
def test_every_api_is_traced_as_a_stream(hello: Model, path: str, body: Json, operation: str) -> None:
    with traced(hello) as server:
        answer = server.post(path, {**body, "stream": True})
    (span,) = server.spans()
    found = attributes(span)
    assert span.name == f"{operation} tiny"
    assert found["gen_ai.response.id"] == first_id(answer.text)
    assert found["gen_ai.request.stream"] is True
    assert 0 < found["gen_ai.response.time_to_first_chunk"] < ((span.end_time or 0) - (span.start_time or 0)) / 1e9
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert min(found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) > 0
    assert SECRET not in span.to_json() and "hello" not in span.to_json()


def test_calls_end_with_tool_calls(chatml: Model) -> None:
    model = scripted(chatml, 'look_around\n{"where": "behind the curtain"}')[0]
    tool = {"type": "function", "function": {"name": "look_around", "parameters": {"type": "object"}}}
    with traced(model) as server:
        answer = server.post(CHAT, {**ASKED, "tools": [tool]})
    assert answer.json()["choices"][0]["finish_reason"] == "tool_calls"
    (span,) = server.spans()
    assert attributes(span)["gen_ai.response.finish_reasons"] == ("tool_calls",)
    assert "curtain" not in span.to_json()


def test_a_span_continues_the_trace_of_the_client(hello: Model) -> None:
    with traced(hello) as server:
        server.post(CHAT, ASKED, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        server.post(CHAT, ASKED, traceparent="00-nonsense")
        server.post(CHAT, ASKED, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")  # not sampled
    child, root = server.spans()
    assert child.parent is not None and child.context is not None
    assert (child.context.trace_id, child.parent.span_id) == (0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)
    assert root.parent is None


@pytest.mark.parametrize(
    ("body", "status", "error", "is_fault"),
    [
        ({**ASKED, "model": "other"}, 404, "model_not_found", False),
        ({**ASKED, "temperature": 9}, 400, "decimal_above_max_value", False),
        ({**ASKED, "messages": [{"role": "user", "content": "x" * 9000}]}, 400, "context_length_exceeded", False),
        (ASKED, 500, "internal_error", True),
    ],
)
def test_errors_have_the_code_that_the_client_gets(
    chatml: Model, body: Json, status: int, error: str, is_fault: bool
) -> None:
    model = scripted(chatml, "all\nhello", fails_at=0)[0]
    with traced(model) as server:
        assert server.post(CHAT, body).status_code == status
    (span,) = server.spans()
    found = attributes(span)
    assert (found["http.response.status_code"], found["error.type"]) == (status, error)
    assert (span.status.status_code == StatusCode.ERROR) == is_fault
    assert SECRET not in span.to_json()


def test_an_error_inside_a_stream_is_an_error(chatml: Model) -> None:
    """The answer began with 200, so only the span tells that it failed."""
    with traced(scripted(chatml, "all\nhello", fails_at=3)[0]) as server:
        assert server.post(CHAT, {**ASKED, "stream": True}).status_code == 200
    (span,) = server.spans()
    assert attributes(span)["error.type"] == "internal_error"
    assert span.status.status_code == StatusCode.ERROR


def test_a_client_that_leaves_ends_its_span(chatml: Model) -> None:
    with (
        traced(scripted(chatml, "all\n" + "hello " * 50, step_s=0.05)[0]) as server,
        httpx2.stream("POST", f"{server.url}{CHAT}", json={**ASKED, "stream": True}) as answer,
    ):
        next(answer.iter_lines())
    (span,) = server.spans()
    found = attributes(span)
    assert (found["http.response.status_code"], found["error.type"]) == (499, "499")


def test_only_routes_of_the_model_are_traced(hello: Model) -> None:
    """Probes of health every second would bury the requests."""
    with traced(hello) as server:
        for path in ("/health", "/metrics", "/v1/models", CHAT):
            httpx2.get(f"{server.url}{path}")
        server.post("/tokenize", {"prompt": "x"})
    assert server.spans() == []


def test_tools_of_the_server_are_spans_below_the_request(chatml: Model) -> None:
    model, engine = with_turns(chatml)
    engine.play(ADD, "all\nIt is 5.")
    RAN.clear()
    with traced(model, server_tools=SERVER_TOOLS) as server:
        answer = server.post(CHAT, {**ASKED, "server_tools": True})
    request, tool = server.spans()
    assert (tool.name, tool.kind) == ("execute_tool add", SpanKind.INTERNAL)
    assert tool.parent == request.context
    call_id = answer.json()["choices"][0]["message"]["trace"][0]["tool_calls"][0]["id"]
    assert attributes(tool) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "add",
        "gen_ai.tool.call.id": call_id,
        "gen_ai.tool.type": "function",
    }
    found, usage = attributes(request), answer.json()["usage"]
    assert found["gen_ai.response.finish_reasons"] == ("stop",)
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (
        usage["prompt_tokens"],
        usage["completion_tokens"],
    )


def test_contents_are_traced_if_the_operator_asks_for_them(chatml: Model) -> None:
    model, engine = with_turns(chatml)
    engine.play("all\nI add.>>>" + ADD, "all\nIt is 5.")
    with traced(model, server_tools=SERVER_TOOLS, trace_contents=True) as server:
        server.post(CHAT, {**ASKED, "server_tools": True, "stop": ["END"]})
    request, tool = (attributes(span) for span in server.spans())
    assert json.loads(request["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": SECRET}]}
    ]
    (output,) = json.loads(request["gen_ai.output.messages"])
    call_id = tool["gen_ai.tool.call.id"]
    assert output == {
        "role": "assistant",
        "parts": [
            {"type": "text", "content": "I add."},
            {"type": "tool_call", "id": call_id, "name": "add", "arguments": '{"a": 2, "b": 3}'},
            {"type": "tool_call_response", "id": call_id, "response": "5"},
            {"type": "text", "content": "It is 5."},
        ],
        "finish_reason": "stop",
    }
    assert request["gen_ai.request.stop_sequences"] == ("END",)
    assert (tool["gen_ai.tool.call.arguments"], tool["gen_ai.tool.call.result"]) == ('{"a": 2, "b": 3}', "5")


class Collector(ThreadingHTTPServer):
    """Takes traces as an OpenTelemetry collector does, and keeps them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.paths: list[str] = []
        self.headers: list[str] = []
        self.got: list[ExportTraceServiceRequest] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.paths.append(self.path)
        self.server.headers.append(self.headers.get("x-team", ""))
        self.server.got.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Write nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_started_server_sends_its_spans_to_the_collector(chatml_folder: Path, collector: Collector) -> None:
    """The last spans are sent before the process ends, and the SDK's variables count."""
    options = ("--model", str(chatml_folder), "--served-model-name", "tiny", "--otlp-endpoint", collector.url)
    variables = {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=red", "OTEL_SERVICE_NAME": "my-front"}
    with started(*options, **variables) as server:
        httpx2.post(f"{server.url}{CHAT}", json={**ASKED, "max_tokens": 3}, timeout=60)
        server.terminate()
        assert server.exit_status() == 0
    assert collector.paths == ["/v1/traces"]
    assert collector.headers == ["red"]
    (of_resource,) = collector.got[0].resource_spans
    about = {one.key: one.value.string_value for one in of_resource.resource.attributes}
    assert (about["service.name"], about["telemetry.sdk.language"]) == ("my-front", "python")
    ((span,),) = [of_scope.spans for of_scope in of_resource.scope_spans]
    assert span.name == "chat tiny"


def test_without_the_option_no_package_of_the_extra_is_loaded() -> None:
    """The extra takes 0.3 s and 20 MB; a server without traces pays nothing, whatever the environment says."""
    program = (
        "import sys, server; from fastapi.testclient import TestClient\n"
        "with TestClient(server.create_app(lambda: None), base_url='http://127.0.0.1') as client:\n"
        "    assert client.post('/v1/chat/completions').status_code == 503\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])"
    )
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "FASTAPI_OTEL_AUTO_CONFIGURE": "true"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={**variables}, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def test_a_missing_extra_is_one_line_with_the_command(chatml_folder: Path) -> None:
    missing = "import sys; sys.modules['opentelemetry.sdk.trace'] = None"
    options = ("--model", str(chatml_folder), "--otlp-endpoint", "http://127.0.0.1:9")
    with started(*options, before=missing) as server:
        assert server.exit_status() == 1
        assert server.line("functionary:") == (
            "--otlp-endpoint needs packages that are not installed: pip install -r requirements-telemetry.txt"
        )
    assert len(server.lines) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--otlp-endpoint", "localhost:4318"], "'localhost:4318' is not a URL of a collector"),
        (["--otlp-endpoint", "http://"], "'http://' is not a URL of a collector"),
        (["--trace-contents"], "--trace-contents has no use without --otlp-endpoint URL"),
    ],
)
def test_wrong_options_are_told(options: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_options(options)
    assert reason in capsys.readouterr().err


def test_the_url_of_traces() -> None:
    for given in ("http://host:4318", "http://host:4318/", "http://host:4318/v1/traces"):
        assert traces_url(given) == "http://host:4318/v1/traces"
