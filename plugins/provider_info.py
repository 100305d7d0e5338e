"""Tells Airflow about the connection types (entry point `apache_airflow_provider` in pyproject.toml).

Airflow draws the form in the UI from this alone, without importing a hook. As environment variables the same
connections look like this; in a URI a connection type has a hyphen, and values are percent-encoded::

    AIRFLOW_CONN_KUSTOMER_DEFAULT='{"conn_type": "kustomer", "host": "https://acme.api.kustomerapp.com",
        "password": "<key>", "extra": {"web_url": "https://acme.kustomerapp.com"}}'
    AIRFLOW_CONN_STELLA_CONNECT_DEFAULT='stella-connect://:<key>@api.stellaconnect.net/?api_secret=<secret>'
"""

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, in the shape that Airflow's provider_info schema asks for."""
    return {
        "package-name": "kustomer-stella-connect",  # must equal the distribution's name
        "name": "Kustomer and Stella Connect",
        "description": "CSAT surveys from Stella Connect for conversations closed in Kustomer",
        "connection-types": [_KUSTOMER, _STELLA_CONNECT, _ALARM_WEBHOOK],
    }


_KUSTOMER = {
    "connection-type": "kustomer",
    "hook-class-name": "plugins.kustomer.hook.KustomerHook",
    "hook-name": "Kustomer",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "login", "port"],
        "relabeling": {"host": "API URL", "password": "API key"},
        "placeholders": {
            "host": "https://<organisation>.api.kustomerapp.com",
            "password": "made under Settings > Security > API Keys",
        },
    },
    "conn-fields": {
        "web_url": {
            "label": "Kustomer URL",
            "description": "Where people open Kustomer, for the link back from a survey: "
            "https://<organisation>.kustomerapp.com",
            "schema": {"type": ["string", "null"], "format": "uri"},
        }
    },
}

_STELLA_CONNECT = {
    "connection-type": "stella_connect",
    "hook-class-name": "plugins.stella_connect.hook.StellaConnectHook",
    "hook-name": "Stella Connect",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "login", "port"],
        "relabeling": {"host": "API URL", "password": "API key"},
        "placeholders": {
            "host": "https://<subdomain>.api.stellaconnect.net",
            "password": "shown under Settings > Integrations",
        },
    },
    "conn-fields": {
        "api_secret": {
            "label": "API secret",
            "description": "Belongs to the key (test and production have a pair each); signs the reading calls",
            "schema": {"type": ["string", "null"], "format": "password"},
        },
        "jwt_prefix": {
            "label": "Token prefix",
            "description": "Word before the signed token in the Authorization header. Normally empty",
            "schema": {"type": ["string", "null"]},
        },
    },
}

_ALARM_WEBHOOK = {
    "connection-type": "alarm_webhook",
    "hook-class-name": "plugins.runtime.webhook.AlarmWebhookHook",
    "hook-name": "Alarm webhook",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "login", "port"],
        "relabeling": {"host": "Webhook address", "password": "Secret rest of the address"},
        "placeholders": {
            "host": "https://hooks.slack.com/services",
            "password": "T000/B000/XXXX, or empty if the address above is complete",
        },
    },
}
