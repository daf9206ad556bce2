"""Callbacks that make trainings of other frameworks interruptible: see docs/integrations.md.

Each is a module of its own (`lightning`, `transformers`) and imports its framework; this one imports neither.
"""
