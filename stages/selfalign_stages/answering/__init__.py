"""Stages 2 and 4, the answering halves: principle-driven self-alignment and verbose cloning (paper section 3)."""
