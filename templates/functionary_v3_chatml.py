"""v3's recipients in ChatML turns and without its header: the embedded model's format.

Every fixed line is paid in each row of a short training, hence no header; `>>>` and `all` are one token each.
"""

from __future__ import annotations

from prompt_template import PromptTemplate
from templates.functionary_v3 import RecipientTemplate

TEMPLATE: PromptTemplate = RecipientTemplate(
    "functionary_v3_chatml",
    versions=("v3.chatml",),
    bos=False,
    stop=("<|im_end|>",),
    start="<|im_start|>",
    body="\n",
    end="<|im_end|>",
    after="\n",
)
