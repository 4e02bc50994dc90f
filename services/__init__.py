"""The work itself: the same in a request, in the engine host, in a worker and in a test. Knows no Flask."""

VERSION = "0.1.0"
