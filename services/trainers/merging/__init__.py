"""Adapters put into their bases, which then need none."""
