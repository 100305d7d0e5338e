"""What the DAGs are made of and what does not need Airflow: the domain, the ledger, the sandbox."""
