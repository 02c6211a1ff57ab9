"""The command line: thin commands over the rooms, and one sentence for every mistake."""
