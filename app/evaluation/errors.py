"""The errors of measuring: EvaluationError alone, with the file and the place in its message."""


class EvaluationError(ValueError):
    """A set cannot be measured: the file is not of the format that it should be, or holds nothing to ask."""
