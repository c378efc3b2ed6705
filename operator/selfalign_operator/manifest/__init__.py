"""Manifests: from YAML to a checked SelfAlignRun, or to every problem at once.

Text is parsed by `contract.strict_yaml`, limited by `document`, changed by `overrides`, validated by `loading` with
messages from `error_messages`, and checked by the rules across fields (`cross_field`) and of the place where it runs
(`environments`). All of it is pure.
"""
