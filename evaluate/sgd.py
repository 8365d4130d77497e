"""SGD next call: the state of a task-oriented dialogue -> the service call that comes next.

Rastogi et al., "Towards Scalable Multi-domain Conversational Agents: The Schema-Guided Dialogue Dataset", AAAI 2020
(arXiv 1909.05855). As there, services that the training dialogues have and those they lack are measured apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from evaluate.call_set import CallSet
from evaluate.rows import Row


class SgdNextCall(CallSet):
    """Rows at which the dialogue's next action is a call; `meta.unseen_service` tells whose service it is."""

    def parts(self, row: Row) -> Sequence[str]:
        return ("unseen services" if row.meta.get("unseen_service") else "seen services",)
