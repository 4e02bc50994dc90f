"""Local models, one small class each; heavy libraries are imported in load() alone."""
