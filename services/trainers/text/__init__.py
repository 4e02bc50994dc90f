"""Adapters of language models, from the words of a row to weights that peft reads."""
