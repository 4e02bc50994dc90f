"""The house put together; nobody imports it."""
