"""What a checkpoint's configuration and the headers of its weights say about it, for clients that list models."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelFacts:
    """The facts of a checkpoint. An empty text or None means that the fact is not known.

    architecture: the model's type as its configuration states it, such as "llama".
    file_format: "gguf" or "safetensors". num_bytes: the size of the weights on disk.
    number_format: that of the loaded weights, such as "bfloat16" or "int8".
    num_parameters: None for weights that are quantized on disk, whose shapes do not tell it.
    """

    architecture: str = ""
    file_format: str = ""
    number_format: str = ""
    num_parameters: int | None = None
    num_bytes: int | None = None
