"""Adapters of language models in the forms of other runtimes."""
