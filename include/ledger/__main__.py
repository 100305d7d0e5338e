"""`python -m include.ledger`: the maintenance commands."""

import sys

from include.ledger.maintenance.command_line import main

if __name__ == "__main__":
    sys.exit(main())
