"""One upload and the journal: its claim, what it writes down, and where it goes on."""
