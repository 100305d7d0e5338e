"""`python -m include.ledger`: the maintenance commands."""

import sys

from include.ledger.maintenance.command_line import main
from plugins.runtime.ledger_naming import find_ledger

if __name__ == "__main__":
    sys.exit(main(find=find_ledger))
