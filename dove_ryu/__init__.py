"""DOVE, distributed overlay virtual networks, on Open vSwitch."""

__version__ = "0.1.0"
