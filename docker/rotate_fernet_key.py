"""Encrypts Airflow's stored connections and variables with the first key of AIRFLOW_FERNET_KEY, all or none.

Airflow's own `rotate-fernet-key` also takes the triggers of waiting tasks. Airflow 3.3 stores those unencrypted
(`execution_api/routes/task_instances.py`), so it ends with InvalidToken as long as one task waits.
"""

import sys

from airflow.models import import_all_models
from airflow.models.connection import Connection
from airflow.models.variable import Variable
from airflow.utils.session import create_session
from sqlalchemy import select


def main() -> str:
    """Rotate in one transaction; returns what was done."""
    import_all_models()
    with create_session() as session:
        encrypted = Connection.is_encrypted | Connection.is_extra_encrypted
        connections = session.scalars(select(Connection).where(encrypted)).all()
        variables = session.scalars(select(Variable).where(Variable.is_encrypted)).all()
        for row in (*connections, *variables):
            row.rotate_fernet_key()
    return f"Encrypted with the first key: {len(connections)} connections, {len(variables)} variables"


if __name__ == "__main__":
    sys.stdout.write(f"{main()}\n")
