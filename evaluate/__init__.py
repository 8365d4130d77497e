"""Measures how well a model calls functions: `python -m evaluate --set FILE ... --out DIR`. One class per benchmark.

Further programs: `python -m evaluate.judge` (a model judges answers), `.compare` (compares several results) and
`.tradeoff` (missed calls against false calls).
"""
