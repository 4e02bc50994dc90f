"""Remote services that answer for a model, one small class each."""
