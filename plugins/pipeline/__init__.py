"""The tasks of the DAGs: what joins the two vendors and the ledger."""
