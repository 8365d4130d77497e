"""Models with weights packed and layers fused for a CPU compute the same logits as transformers."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest
import torch
from torch import nn
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaForCausalLM

from engines.local.cpu import optimize
from engines.local.devices import cpu_has_bfloat16, cpu_has_float16_weights, cpu_packs_bfloat16
from engines.local.forward import ATTENTION, Span, forward
from engines.local.kv_cache import KVCache
from engines.local.packed_linear import MEMORY_BOUND_ROWS, HalfLinear, Int8Linear, PackedLinear
from tests.support.small_engine import MODELS, SIZES

NEEDS_BFLOAT16 = pytest.mark.skipif(not cpu_packs_bfloat16(), reason="oneDNN does not multiply bfloat16 here")
NEEDS_FBGEMM = pytest.mark.skipif(not cpu_has_float16_weights(), reason="FBGEMM is not there")
NUM_ROWS = (1, 2, 7, 16, 100, 513)


@pytest.fixture(params=[False, pytest.param(True, marks=pytest.mark.skipif(not cpu_has_bfloat16(), reason="no BF16"))])
def has_bfloat16(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Runs the test as on a CPU without bfloat16 and, if this CPU has bfloat16, a second time with it."""
    has_it: bool = request.param
    monkeypatch.setattr("engines.local.packed_linear.cpu_has_bfloat16", lambda: has_it)
    return has_it


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=NEEDS_BFLOAT16)])
def test_a_packed_layer_equals_the_layer(bias: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    linears = [nn.Linear(40, size, bias=bias).to(dtype) for size in (24, 8, 8)]
    packed = PackedLinear(linears)
    bound = 1e-5 if dtype == torch.float32 else 0.02
    with torch.inference_mode():
        for num_rows in NUM_ROWS:
            rows, other = torch.randn(1, num_rows, 40, dtype=dtype), torch.randn(1, num_rows, 40, dtype=dtype)
            expected = torch.cat([linear(rows) for linear in linears], dim=-1)
            torch.testing.assert_close(packed(rows), expected, atol=bound, rtol=bound)
            torch.testing.assert_close(packed.add(rows, other), expected + other, atol=2 * bound, rtol=bound)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_eight_bit_weights_are_close(dtype: torch.dtype) -> None:
    """The error is below 1% of the result: rounding changes a weight by at most 1/254 of its row's largest weight."""
    torch.manual_seed(0)
    linear = nn.Linear(256, 64).to(dtype)
    eight = Int8Linear([linear])
    with torch.inference_mode():
        for num_rows in NUM_ROWS:
            rows = torch.randn(1, num_rows, 256, dtype=dtype)
            expected = linear(rows).float()
            assert float((eight(rows).float() - expected).norm() / expected.norm()) < 0.01
            torch.testing.assert_close(eight.add(rows, eight(rows)), 2 * eight(rows), atol=0.05, rtol=0.02)
    assert eight.quantized.dtype == torch.int8


def logits_of(model: Any, sizes: tuple[int, ...]) -> torch.Tensor:
    """Compute a sequence in parts of these sizes, in a batch with another sequence.

    Return the logits of the sequence, in the shape (tokens, vocab_size).
    """
    ids = [(7 * i * i + 3 * i) % 300 for i in range(sum(sizes))]
    cache, beside, pieces = KVCache(), KVCache(), []
    model.set_attn_implementation(ATTENTION)
    for size in sizes:
        new = ids[cache.length : cache.length + size]
        pieces.append(forward(model, [Span([5, 6], beside, 1), Span(new, cache, len(new))])[1])
        cache.length += size
    return torch.cat(pieces)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 1e-4), pytest.param(torch.bfloat16, 0.05, marks=NEEDS_BFLOAT16)]
)
def test_a_fused_model_equals_the_model(name: str, dtype: torch.dtype, bound: float) -> None:
    """A fused model gives the same logits in prefill and decode, with sliding windows, biases and head norms."""
    torch.manual_seed(0)
    model = MODELS[name]().to(dtype)  # type: ignore[arg-type]
    fast = copy.deepcopy(model)
    assert optimize(fast) == "packed weights, fused layers"
    assert not [module for module in fast.modules() if type(module) is nn.Linear]
    sizes = (130, 1, 1, 3, 20, 1)
    torch.testing.assert_close(logits_of(fast, sizes), logits_of(model, sizes), atol=bound, rtol=bound)


def another_architecture() -> Any:
    torch.manual_seed(0)
    sizes = {key: value for key, value in SIZES.items() if key != "num_key_value_heads"}
    return GPTNeoXForCausalLM(GPTNeoXConfig(**sizes))


def test_an_unknown_architecture_gets_packed_weights() -> None:
    model = another_architecture()
    fast: Any = copy.deepcopy(model)
    assert optimize(fast) == "packed weights"
    torch.testing.assert_close(logits_of(fast, (20, 1, 2)), logits_of(model, (20, 1, 2)), atol=1e-4, rtol=1e-4)


@NEEDS_FBGEMM
def test_an_unknown_architecture_gets_float16_weights(has_bfloat16: bool) -> None:
    """If the architecture is unknown, only the linear layers have float16 weights.

    The other layers compute in float32, so the linear layers return float32.
    """
    model = another_architecture().half()
    full = copy.deepcopy(model).float()
    assert optimize(model) == "16-bit weights"
    found = logits_of(model, (20, 1, 2))
    assert found.dtype == torch.float32
    bound = 0.05 if has_bfloat16 else 1e-4
    torch.testing.assert_close(found, logits_of(full, (20, 1, 2)), atol=bound, rtol=bound)


def test_the_original_weights_are_freed() -> None:
    model = MODELS["llama"]()
    references = [weakref.ref(value) for name, value in model.named_parameters() if name.endswith("proj.weight")]
    assert len(references) == 14
    optimize(model)
    gc.collect()
    assert not any(weight() is not None for weight in references)


@NEEDS_FBGEMM
@pytest.mark.parametrize("name", MODELS)
def test_a_float16_model_computes_in_float32(name: str, has_bfloat16: bool) -> None:
    """The logits equal those of the same weights in float32.

    A CPU with bfloat16 uses it for products of many tokens and for the KV cache.
    """
    torch.manual_seed(0)
    model: Any = MODELS[name]().half()  # type: ignore[no-untyped-call]
    full = copy.deepcopy(model).float()
    assert optimize(model) == "16-bit weights, fused layers"
    assert model.dtype == torch.float32
    assert isinstance(model.lm_head, HalfLinear)
    bound = 0.05 if has_bfloat16 else 1e-4
    found, expected = logits_of(model, (130, 1, 3)), logits_of(full, (130, 1, 3))
    torch.testing.assert_close(found.float(), expected, atol=bound, rtol=bound)


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="no BF16")
def test_eight_bit_weights_use_bfloat16_where_the_cpu_has_it() -> None:
    """A model with 8-bit weights computes its matrix products in bfloat16 if the CPU supports it.

    In float32, the weights would be converted to 32 bits in every forward.
    """
    model: Any = MODELS["llama"]().half()  # type: ignore[no-untyped-call]
    assert optimize(model, "int8") == "8-bit weights, fused layers"
    assert model.dtype == torch.bfloat16


@NEEDS_FBGEMM
@pytest.mark.parametrize("name", MODELS)
def test_few_rows_are_as_exact_with_bfloat16_as_without(name: str, has_bfloat16: bool) -> None:
    """In a forward of few tokens, bfloat16 rounds nothing but the KV cache: here the key and the value of one token."""
    torch.manual_seed(0)
    model: Any = MODELS[name]().half()  # type: ignore[no-untyped-call]
    full = copy.deepcopy(model).float()
    optimize(model)
    model.set_attn_implementation(ATTENTION)
    full.set_attn_implementation(ATTENTION)
    cache = KVCache()
    (found,) = forward(model, [Span([7], cache, 1)])
    (expected,) = forward(full, [Span([7], KVCache(), 1)])
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=2e-3 if has_bfloat16 else 1e-4, rtol=1e-4)
    assert cache.slab.layers[0].dtype == (torch.bfloat16 if has_bfloat16 else torch.float32)


@NEEDS_FBGEMM
@pytest.mark.skipif(cpu_packs_bfloat16(), reason="oneDNN multiplies bfloat16 here")
def test_bfloat16_is_not_emulated() -> None:
    """Regression test: `--dtype bfloat16` failed on a CPU with only AVX2, where oneDNN cannot pack bfloat16."""
    model: Any = MODELS["llama"]().bfloat16()
    assert optimize(model) == "16-bit weights, fused layers"
    assert model.dtype == torch.float32


@NEEDS_FBGEMM
def test_float16_layers_equal_their_weights_in_float32(has_bfloat16: bool) -> None:
    torch.manual_seed(0)
    linears = [nn.Linear(576, size).half() for size in (192, 64)]
    half = HalfLinear(linears)
    for num_rows in NUM_ROWS:
        rows, other = torch.randn(1, num_rows, 576), torch.randn(1, num_rows, 256)
        expected = torch.cat([nn.functional.linear(rows, one.weight.float(), one.bias.float()) for one in linears], -1)
        bound = 0.03 if has_bfloat16 and num_rows > MEMORY_BOUND_ROWS else 1e-5
        torch.testing.assert_close(half(rows), expected, atol=bound, rtol=bound)
        torch.testing.assert_close(half.add(rows, other), expected + other, atol=bound, rtol=bound)


def test_a_float16_model_is_unchanged_without_fbgemm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.local.cpu.cpu_has_float16_weights", lambda: False)
    model = MODELS["llama"]().half()  # type: ignore[no-untyped-call]
    assert optimize(model) == ""
    assert isinstance(model, LlamaForCausalLM)
    assert type(model.lm_head) is nn.Linear


def test_the_embedded_model_generates_the_same(plain_embedded: Any) -> None:
    """After each of three prompts, the model generates the same 24 greedy tokens in float32 as transformers."""
    model = copy.deepcopy(plain_embedded)
    prompts = [[1, 4093, 198], [504, 3575, 282, 4649], [788, 253, 655, 28]]
    expected = [
        model.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False, eos_token_id=None)[0].tolist()
        for ids in prompts
    ]
    optimize(model)
    model.set_attn_implementation(ATTENTION)
    sequences, caches = [list(ids) for ids in prompts], [KVCache() for _ in prompts]
    while len(sequences[0]) < len(expected[0]):
        spans = [Span(ids[one.length :], one, 1) for ids, one in zip(sequences, caches, strict=True)]
        for ids, one, logits in zip(sequences, caches, forward(model, spans), strict=True):
            one.length = len(ids)
            ids.append(int(logits[0].argmax()))
    assert [ids[: len(ids)] for ids in sequences] == [
        ids[: len(own)] for ids, own in zip(expected, sequences, strict=True)
    ]
