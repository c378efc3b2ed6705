"""A client for OCI registries (distribution-spec 1.1): signing in, verified reads, uploads, errors as StageErrors."""
