"""Deciding which deployment answers."""
