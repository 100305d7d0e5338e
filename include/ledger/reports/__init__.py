"""Read-only reports on the ledger, for the page inside the Airflow UI and other readers.

The functions take an open connection (`with ledger.read() as connection`) and return plain frozen records. Instants
are UTC; spans are [from, until). Fields with personal data say so; the caller decides whether to mask them.
"""
