"""The service: HTTP, settings and wiring; the only side that knows both the retriever and the models."""
