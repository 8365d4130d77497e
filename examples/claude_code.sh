#!/bin/sh
# Claude Code asks Functionary: run `make serve` in one terminal and `examples/claude_code.sh` in another.
# The context must hold a prompt of 11,146 tokens; `--bare --tools Bash` shortens it to 447.

export ANTHROPIC_BASE_URL="${ANTHROPIC_BASE_URL:-http://localhost:8000}"
export ANTHROPIC_API_KEY="${ANTHROPIC_API_KEY:-none}"
export ANTHROPIC_MODEL=functionary ANTHROPIC_SMALL_FAST_MODEL=functionary
export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1
exec claude "$@"
