"""imitari turns demonstrations into policies and says how sure it is."""

__version__ = "0.1.0"
