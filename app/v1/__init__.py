"""What speaks OpenAI's language under `/v1`: chat completions, embeddings, models, and errors of their shape."""
