"""Decides, by pure functions alone, what a run needs next and what its status reports.

Nothing here reads a clock, a file or the network. The local runner and the operator therefore behave alike, and tests
simulate whole runs in milliseconds. The entry point is `plan.plan(run, observed, now)`.
"""
