"""Chat templates in the style of common families, written for the tests, and byte-level tokenizers for them."""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from chat_templates.generic import GenericTemplate
from text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Family:
    """A chat template and the control tokens of its tokenizer."""

    chat_template: str
    control_tokens: tuple[str, ...]
    end_token: str
    bos_token: str = ""

    def template(self) -> GenericTemplate:
        named = {"eos_token": self.end_token} | ({"bos_token": self.bos_token} if self.bos_token else {})
        tokens = frozenset(self.control_tokens)
        return GenericTemplate(
            self.chat_template, special_tokens=named, control_tokens=tokens, end_tokens=(self.end_token,)
        )

    def tokenizer(self) -> Tokenizer:
        backend = byte_backend(self.control_tokens)
        return Tokenizer(backend, eos_id=backend.token_to_id(self.end_token))


def byte_backend(control_tokens: tuple[str, ...]) -> Backend:
    """Return a tokenizer with one token for each byte and the given control tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Backend(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(control_tokens))
    return backend


# ChatML with `<tool_call>`, as Qwen 3 has it: a switch for the reasoning, and old reasoning cut out of the content.
CHATML = Family(
    """\
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
{{- 'Functions:\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
{{- '\\n</tools>\\nCall one by <tool_call>{"name": NAME, "arguments": OBJECT}</tool_call>.<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- set content = message.content or '' %}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
{{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
{%- set reasoning = message.reasoning_content or '' %}
{%- if '</think>' in content %}
{%- set reasoning = content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}
{%- set content = content.split('</think>')[-1].lstrip('\\n') %}
{%- endif %}
{{- '<|im_start|>assistant\\n' }}
{%- if loop.last and reasoning %}{{- '<think>\\n' + reasoning + '\\n</think>\\n\\n' }}{%- endif %}
{{- content }}
{%- for call in message.tool_calls or [] %}
{%- if (loop.first and content) or not loop.first %}{{- '\\n' }}{%- endif %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
{{- '\\n<tool_response>\\n' + content + '\\n</tool_response>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}""",
    ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "<think>", "</think>"),
    "<|im_end|>",
)

# Headers around roles, stripped texts, one call per turn, and functions printed line by line, as Llama 3.1 has them.
LLAMA = Family(
    """\
{{- bos_token }}
{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}
{%- if messages[0].role == 'system' %}
{%- set system = messages[0].content | trim %}{%- set messages = messages[1:] %}
{%- else %}{%- set system = '' %}{%- endif %}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\nToday: ' + date_string + '\\n\\n' }}
{%- if tools %}
{{- 'Answer with {"name": NAME, "parameters": OBJECT} to call one of these:\\n\\n' }}
{%- for tool in tools %}{{- tool | tojson(indent=4) }}{{- '\\n\\n' }}{%- endfor %}
{%- endif %}
{{- system + '<|eot_id|>' }}
{%- for message in messages %}
{%- if message.tool_calls %}
{%- if message.tool_calls | length != 1 %}{{- raise_exception('Only one call at a time!') }}{%- endif %}
{%- set call = message.tool_calls[0].function %}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n{"name": "' + call.name + '", "parameters": ' }}
{{- call.arguments | tojson }}{{- '}<|eot_id|>' }}
{%- elif message.role == 'tool' %}
{{- '<|start_header_id|>ipython<|end_header_id|>\\n\\n' }}
{{- message.content if message.content is mapping else message.content | tojson }}{{- '<|eot_id|>' }}
{%- else %}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content | trim + '<|eot_id|>' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}""",
    ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>", "<|python_tag|>"),
    "<|eot_id|>",
    "<|begin_of_text|>",
)

# Instructions in brackets, ids of nine characters, and errors for turns out of order, as Mistral has them.
MISTRAL = Family(
    """\
{{- bos_token }}
{%- if messages[0].role == 'system' %}
{%- set system = messages[0].content %}{%- set messages = messages[1:] %}
{%- endif %}
{%- set turn = namespace(number=0) %}
{%- for message in messages if message.role != 'tool' and not message.tool_calls %}
{%- if (message.role == 'user') != (turn.number % 2 == 0) %}{{- raise_exception('Roles must alternate!') }}{%- endif %}
{%- set turn.number = turn.number + 1 %}
{%- endfor %}
{%- for message in messages %}
{%- if message.role == 'user' %}
{%- if tools and loop.first %}{{- '[AVAILABLE_TOOLS] ' + tools | tojson + '[/AVAILABLE_TOOLS]' }}{%- endif %}
{{- '[INST] ' + (system + '\\n\\n' if system and loop.first else '') + message.content + '[/INST]' }}
{%- elif message.tool_calls %}
{{- '[TOOL_CALLS] [' }}
{%- for call in message.tool_calls %}
{%- if call.id | length != 9 %}{{- raise_exception('Ids have nine characters!') }}{%- endif %}
{{- '{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson }}
{{- ', "id": "' + call.id + '"}' }}{{- ', ' if not loop.last else ']' }}
{%- endfor %}
{{- eos_token }}
{%- elif message.role == 'tool' %}
{{- '[TOOL_RESULTS] {"content": ' + message.content | tojson + ', "call_id": "' + message.tool_call_id + '"}' }}
{{- '[/TOOL_RESULTS]' }}
{%- else %}{{- ' ' + message.content + eos_token }}
{%- endif %}
{%- endfor %}""",
    ("<s>", "</s>", "[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]"),
    "</s>",
    "<s>",
)

# Parameters as XML, and reasoning that the generation prompt begins, as newer models have them.
XML = Family(
    """\
{%- for message in messages %}
{{- '<|' + message.role + '|>\\n' }}
{%- if loop.first and tools %}
{%- for tool in tools %}{%- set function = tool.function %}
{{- '<function name="' + function.name + '">' + function.description + '\\n' }}
{%- for name, schema in function.parameters.properties | items %}
{{- '<param name="' + name + '" type="' + schema.type | string + '"' }}
{{- ' required' if name in (function.parameters.required or []) }}
{{- '>' + (schema.description or '') + (schema.enum | join(', ') if schema.enum else '') + '</param>\\n' }}
{%- endfor %}{{- '</function>\\n' }}
{%- endfor %}{{- 'Call one by <tool_call>.\\n' }}
{%- endif %}
{{- message.content or '' }}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>' + call.function.name + '\\n' }}
{%- for name, value in call.function.arguments | items %}
{{- name + '=' + (value if value is string else value | tojson) + '\\n' }}
{%- endfor %}{{- '</tool_call>' }}
{%- endfor %}
{{- '<|end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\\n<think>\\n' }}{%- endif %}""",
    ("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|end|>", "<think>", "</think>", "<tool_call>"),
    "<|end|>",
)

# No functions and no system message, as the first chat models had it.
PLAIN = Family(
    """\
{%- for message in messages %}
{%- if message.role == 'system' %}{{- raise_exception('System messages are not supported!') }}{%- endif %}
{{- '<|' + message.role + '|>\\n' + message.content + eos_token + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|assistant|>\\n' }}{%- endif %}""",
    ("<s>", "</s>"),
    "</s>",
)

FAMILIES = {"chatml": CHATML, "llama": LLAMA, "mistral": MISTRAL, "xml": XML, "plain": PLAIN}
