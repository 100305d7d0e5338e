"""Airflow assets: each scheduled DAG emits one event a run, with the run's counts."""

from airflow.sdk import Asset

from plugins.runtime.organisations import Organisation


def make_asset(organisation: Organisation, name: str, path: str) -> Asset:
    """Return the organisation's asset; `path` is that of its URI, such as "interactions/released"."""
    subject, _, event = path.partition("/")
    # With a scheme that does not begin with "x-", Airflow loads the URI handlers of all providers: 1.3 s a parse.
    uri = f"x-kustomer-stella-connect://{organisation.name_for(subject)}/{event}"
    return Asset(name=organisation.name_for(name), uri=uri)
