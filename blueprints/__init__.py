"""HTTP in, HTTP out, one file a domain; no blueprint imports another."""
