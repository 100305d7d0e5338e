"""What each process of a cluster without containers takes for its machine's name.

Named in AIRFLOW__CORE__HOSTNAME_CALLABLE. Imported by every part of Airflow: it must stay this small.
"""

import os


def hostname() -> str:
    """Return the name that a container would have."""
    return os.environ["HOSTNAME"]
