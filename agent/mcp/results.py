"""The result of an MCP tool as text."""

from __future__ import annotations

import json
from collections.abc import Iterable

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
)

from agent.tools import ToolError


def result_text(result: CallToolResult) -> str:
    """Return a result's text, or its structured content as JSON if there is no text. Raises ToolError."""
    texts, left_out = _texts(result.content)
    if result.is_error:
        raise ToolError("\n".join(texts) or "the tool failed without a message")
    if not texts and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    if not texts and left_out:
        raise ToolError(f"the result is {', '.join(left_out)}, and only text can be read")
    return "\n".join([*texts, *(f"[left out: {one}]" for one in left_out)])


def _texts(content: Iterable[object]) -> tuple[list[str], list[str]]:
    """Return the texts of a result, and the types of what is no text."""
    texts: list[str] = []
    left_out: list[str] = []
    for block in content:
        match block:
            case TextContent(text=text):
                texts.append(text)
            case ResourceLink():
                texts.append(" ".join(filter(None, (f"[resource] {block.uri}", block.title or block.name))))
            case EmbeddedResource(resource=BlobResourceContents() as blob):
                left_out.append(blob.mime_type or "binary data")
            case EmbeddedResource(resource=resource):
                texts.append(getattr(resource, "text", ""))
            case ImageContent(mime_type=kind) | AudioContent(mime_type=kind):
                left_out.append(kind)
    return texts, left_out
