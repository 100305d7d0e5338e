"""What people want to read in the ledger: for the page inside the Airflow UI, and any other reader.

Functions on an open connection (`with ledger.read() as connection`), which give plain frozen records. Nothing
here changes anything. Instants are UTC; spans are [from, until). Fields that tell of a person say so; showing them,
masked or not, is the reader's business.
"""
