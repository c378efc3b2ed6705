"""Pure decisions about text: overlap, duplicates, loops, refusals, filters."""
