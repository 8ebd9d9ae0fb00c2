"""The errors of the models, one tree:

ModelError
├── WeightsMissing      no weights where the setting points
├── WeightsCorrupt      a file's SHA-256 is not the one of its manifest
└── UnsupportedModel    a checkpoint of a shape that cannot be loaded
"""


class ModelError(Exception):
    """The root: catch this to catch everything that the models raise on purpose."""


class WeightsMissing(ModelError):
    """No weights where the setting points."""


class WeightsCorrupt(ModelError):
    """A weight file's SHA-256 differs from the one that its manifest names."""


class UnsupportedModel(ModelError):
    """The checkpoint is of a shape that cannot be loaded here."""
