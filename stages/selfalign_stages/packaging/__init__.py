"""Stage 6: the tuned model as an OCI image, written without a daemon."""
