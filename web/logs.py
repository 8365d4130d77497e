"""The log on stderr: lines of text, or one JSON object a line."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any, Literal

from web.observation import current

LogFormat = Literal["text", "json"]

# What the code that logs may give as `extra`. Other attributes of records, such as uvicorn's `color_message`, are for
# texts.
_FIELDS = (
    *("method", "path", "status", "seconds", "key_name", "model"),
    *("prompt_tokens", "cached_tokens", "completion_tokens"),
)


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of ASCII: JSON escapes line breaks and control characters, so nobody can forge lines.

    Every line has time (RFC 3339), level, logger and message; an exception is in `exception`.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in _FIELDS if (value := getattr(record, name, None)) is not None}
        if request_id := current().request_id:
            line["request_id"] = request_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line).replace("\x7f", r"\u007f")  # the one control character that json leaves as it is


def set_up_logging(log_format: LogFormat) -> None:
    """Send the records of all loggers to stderr; of this program those from INFO on, of libraries from WARNING on."""
    text = logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S")
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(handlers=[handler])
    logging.captureWarnings(log_format == "json")
    logging.getLogger("functionary").setLevel(logging.INFO)
