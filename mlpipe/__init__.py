"""Keep a tabular model serving, watched and retrained."""

__version__ = "0.1.0"
