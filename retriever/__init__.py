"""Finding passages: parsing, sentences, passages, the store, the sparse and dense indexes and their mix.

Nothing here imports torch or the web framework; what it needs of a model it declares as a Protocol.
"""
