"""Carries out the planner's actions on a cluster: reads runs, Jobs and pods, writes Jobs, status and Events.

The only package of the operator that talks to an API server. Deciding stays in `planning`, and objects are rendered in
`jobs`; both are pure, so every decision can be tested without a cluster.
"""
