"""The command line `selfalign`: argument parsing (`app`), and what each command does (`commands`).

They are apart so that `selfalign --help` imports neither pydantic nor YAML and answers at once.
"""
