"""Make small real checkpoints: a random Llama with a SentencePiece tokenizer or with a byte-level tokenizer."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

_WORDS = [
    "the",
    "user",
    "asks",
    "for",
    "weather",
    "in",
    "istanbul",
    "lyon",
    "turin",
    "system",
    "assistant",
    "function",
    "name",
    "location",
    "format",
    "celsius",
    "train",
    "from",
    "to",
    "origin",
    "destination",
    "passengers",
    "convert",
    "money",
    "amount",
    "source",
    "target",
    "calls",
    "functions",
    "when",
    "necessary",
    "any",
    "type",
    "string",
    "number",
    "namespace",
    "supported",
    "definitions",
    "that",
    "should",
    "be",
    "called",
    "helpful",
    "detailed",
    "polite",
    "answers",
]


def make_tiny_llama(folder: Path, *, max_context: int = 512) -> Path:
    """Make a checkpoint with 2 layers of width 64 and a newly trained SentencePiece tokenizer, in Llama 2's files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(_sentencepiece_model())
    tokenizer_config = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "add_bos_token": True,
        "legacy": True,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    _write_model(folder, vocab_size=512, max_context=max_context)
    return folder


def make_tiny_chatml(folder: Path, *, max_context: int = 1024) -> Path:
    """Make a checkpoint for functionary_v3_chatml, with one token per byte and ChatML's control tokens."""
    control = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    return make_tiny_format(folder, "functionary_v3_chatml", control, eos="<|im_end|>", max_context=max_context)


def make_tiny_format(
    folder: Path, version: str, control: Sequence[str], *, eos: str, max_context: int = 1024, bos: str | None = None
) -> Path:
    """Make a checkpoint with one token per byte and the control tokens `control`, whose chat template has `version`."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(control))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=eos, bos_token=bos)  # type: ignore[no-untyped-call]
    tokenizer.chat_template = f"{{# version={version} #}}"
    tokenizer.save_pretrained(folder)
    # 272 is more than the tokenizer has, as in many real checkpoints.
    _write_model(folder, vocab_size=272, max_context=max_context)
    return folder


def _write_model(folder: Path, *, vocab_size: int, max_context: int) -> None:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=max_context,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def _sentencepiece_model() -> bytes:
    sentences = [" ".join(_WORDS[i % len(_WORDS) :: 1 + i % 7]) + f' {{"a{i}": "b"}} ' for i in range(400)]
    return trained_sentencepiece(sentences, vocab_size=512)


def trained_sentencepiece(sentences: Iterable[str], **options: Any) -> bytes:
    """Train a SentencePiece model as Llama 2's is: BPE with bytes for unknown characters. Returns its file."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="bpe",
        byte_fallback=True,
        character_coverage=1.0,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        pad_id=-1,
        minloglevel=2,
        **options,
    )
    return model.getvalue()
