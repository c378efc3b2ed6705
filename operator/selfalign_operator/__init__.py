"""Operator and command line of SelfAlign: plans the steps of a SelfAlignRun and runs them, as processes or as Jobs.

The plan is one pure function of the manifest and the observed state (`planning`). The command line carries it out as
processes on one machine (`local`), the operator as Jobs on a cluster (`cluster`), so both give the same artifacts.
"""

from importlib.metadata import version

__version__ = version("selfalign")
