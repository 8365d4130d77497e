"""The embedded model's tokenizer and names, read without torch."""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from checkpoints.gguf_metadata import read_metadata

NAME = "SmolLM2-135M-Instruct"
TEMPLATE = "functionary_v3_chatml"
END = "<|im_end|>"  # ends an answer, and pads in training
_CONTROL = 3  # llama.cpp's TokenType.CONTROL


def load_tokenizer(path: Path) -> Tokenizer:
    """Build SmolLM2's byte-level BPE tokenizer from the GGUF file.

    The tokenizer makes each digit a separate token. The GGUF file does not store this rule, only the name of the
    pre-tokenizer that has it.
    """
    metadata = read_metadata(path)
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    bpe = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    bpe.add_special_tokens([AddedToken(token, normalized=False) for token in control])
    return bpe
