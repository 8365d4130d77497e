"""Measures how well a model calls functions: `python -m evaluate --set FILE ... --out DIR`. One class per benchmark.

Beside it: `python -m evaluate.judge` (a model judges answers), `.compare` (several results), `.tradeoff` (restraint).
"""
