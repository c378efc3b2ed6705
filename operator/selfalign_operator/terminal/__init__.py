"""What `selfalign run` prints: progress while a run works, tables and next steps when it has ended.

Everything is drawn from a RunStatus, the same document that a cluster stores, and never from the processes themselves.
The JSON output, the tables and `kubectl` therefore cannot disagree.
"""
