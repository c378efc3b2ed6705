"""Everything that can be found wrong without a GPU, found before one is asked for."""
