"""Where work runs: here, in the engine host, or later as a job; always by the same functions."""
