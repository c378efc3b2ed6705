"""Artifact stores and what is written to them: the only package that talks to a file system store or to S3."""
