"""Durations in words, as job files have them. The training side reads them as well, so they are defined there."""

from __future__ import annotations

from nightspot.checkpoint.durations import PATTERN, SPELLINGS, UNIT_S, about, format_duration, parse_duration

__all__ = ["PATTERN", "SPELLINGS", "UNIT_S", "about", "format_duration", "parse_duration"]
