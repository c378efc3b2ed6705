"""Rows of one's own, which the manifest names by address: from file, S3 or hub to checked rows with their digest."""
