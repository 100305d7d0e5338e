"""The refusal of a ledger that is not for its caller."""


class LedgerRefusedError(Exception):
    """This ledger is not for this caller; the message says whose it is, or what it lacks, and what to do."""
