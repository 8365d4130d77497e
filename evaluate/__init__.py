"""Measures how well a model calls functions: `python -m evaluate --set FILE ... --out DIR`.

Each benchmark is a class. Further programs: `python -m evaluate.judge` lets a model judge answers, `python -m
evaluate.compare` compares several results, and `python -m evaluate.tradeoff` measures missed calls against false calls.
"""
