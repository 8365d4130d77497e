#!/bin/sh
# Claude Code asks Functionary: run `make serve` in one terminal and `examples/claude_code.sh` in another.
# The model's context must hold Claude Code's own prompt of about 12,000 tokens.

export ANTHROPIC_BASE_URL="${ANTHROPIC_BASE_URL:-http://localhost:8000}"
export ANTHROPIC_API_KEY="${ANTHROPIC_API_KEY:-none}"
export ANTHROPIC_MODEL=functionary ANTHROPIC_SMALL_FAST_MODEL=functionary
export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
exec claude "$@"
