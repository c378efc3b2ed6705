"""Carries out the planner's actions as processes on this machine, for `selfalign run`.

The counterpart of `cluster`: the same plan, task files and result files, with a process in place of a Job. A run can
therefore be tried on a laptop and moved to a cluster without another code path deciding what to do.
"""
