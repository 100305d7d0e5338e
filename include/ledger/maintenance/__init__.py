"""What keeps the ledger itself in order: command line, backup, copies and restores."""
