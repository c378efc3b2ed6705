"""The command line `selfalign`: argument parsing (app) and what each command does (commands)."""
