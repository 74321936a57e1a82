"""The version of this package; rooms take it from here, since nothing inside imports the front."""

__version__ = "0.2.0"

__all__ = ["__version__"]
