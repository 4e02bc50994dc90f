"""Trainers: one recipe each, run in a process of its own."""
