"""The format of the embedded model: the recipients of v3 in ChatML turns.

The prompt has no fixed header, because it would cost tokens in each training row. `>>>` and `all` are one token each.
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
