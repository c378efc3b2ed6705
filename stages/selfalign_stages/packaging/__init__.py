"""Packaging: the tuned model as an OCI image, built and pushed without a container runtime."""
