"""Base models: reading them from hf://, s3://, file:// and builtin://, checking their fitness, and step `import`."""
