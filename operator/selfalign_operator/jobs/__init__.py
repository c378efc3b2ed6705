"""Builds the Jobs of a run and interprets their status, by pure functions alone.

One way leads from a planned action to a Job manifest (`job`, `pod`, `overlay`), the other from Jobs and pods to the
planner's observation (`job_status`, `pending_reason`). Calling the API server is left to the cluster package, so that
both ways are tested without one.
"""
