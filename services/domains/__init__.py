"""Things done for users, as plain functions; no domain imports another."""
