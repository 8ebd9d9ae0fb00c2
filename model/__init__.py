"""Reading: the encoder, the Longformer reader, the summarizer, and their training.

Nothing here imports faiss or the web framework.
"""
