"""What a question may have at most, wherever it comes in."""

from __future__ import annotations

MAX_CHOICES = 128
"""Answers to one question."""
