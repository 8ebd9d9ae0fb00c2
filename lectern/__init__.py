"""The public face of Lectern for programs: its version."""

__version__ = "0.1.0"
__all__ = ["__version__"]
