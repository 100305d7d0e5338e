"""A secrets backend of Airflow that is out of order."""

from airflow.sdk.bases.secrets_backend import BaseSecretsBackend


class BrokenBackend(BaseSecretsBackend):
    def get_conn_value(self, conn_id: str, team_name: str | None = None) -> str | None:
        raise RuntimeError("https://user:hush-hush@vault")

    def get_variable(self, key: str, team_name: str | None = None) -> str | None:
        raise RuntimeError("https://user:hush-hush@vault")
