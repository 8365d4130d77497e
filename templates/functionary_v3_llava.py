"""The format v3.llava_llama (functionary-vision-small-v0.1), for text: the same as v3.llama3."""

from __future__ import annotations

from prompt_template import PromptTemplate
from templates.functionary_v3 import HEADER, RecipientTemplate

TEMPLATE: PromptTemplate = RecipientTemplate(
    "functionary_v3_llava",
    versions=("v3.llava_llama",),
    bos=True,
    stop=("<|eot_id|>", "<|end_of_text|>"),
    start="<|start_header_id|>",
    body="<|end_header_id|>\n\n",
    end="<|eot_id|>",
    header=HEADER,
    arguments="free",
)
