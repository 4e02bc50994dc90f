"""OpenAI's surface under `/v1`, and Anthropic's messages: thin doors to the same domains, one module each."""
