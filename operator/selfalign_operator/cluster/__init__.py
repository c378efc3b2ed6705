"""Carries out the plan's actions on a cluster: reads runs, Jobs and pods, writes Jobs, status and Events."""
