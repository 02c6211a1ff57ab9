"""The command line: thin commands over the rooms, one sentence for every mistake."""
