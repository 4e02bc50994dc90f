"""Bringing checkpoints to `models/`: from the package index or from a hub, whole or not at all."""

from services.pulls.pull import pull, remove, verify

__all__ = ["pull", "remove", "verify"]
