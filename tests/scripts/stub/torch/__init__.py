"""Stands in for PyTorch where only its import matters: in interpreters that no PyTorch is installed for."""

__version__ = "0.0"
