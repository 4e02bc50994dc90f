"""Database classes, one file a family."""
