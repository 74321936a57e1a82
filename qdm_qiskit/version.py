"""The version of this package; rooms take it from here, since nothing inside imports the front."""

__version__ = "0.1.0"

__all__ = ["__version__"]
