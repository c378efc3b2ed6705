"""Decides what a SelfAlignRun needs next, and carries it out on this machine or on a cluster."""

from importlib.metadata import version

__version__ = version("selfalign")
