"""Check a run's settings and connections before it does anything."""

from airflow.sdk import Context

from plugins.kustomer.hook import KustomerHook
from plugins.runtime.failures import fail_for_good
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import find_interval, open_ledger, remember_settings, settings_of
from plugins.stella_connect.hook import StellaConnectHook


def check_configuration(context: Context, organisation: Organisation) -> None:
    """Read the settings and the three connections, without a request to a vendor.

    Raises:
        AirflowFailException: names the setting or connection, the key in it, and what is allowed.
    """
    settings_of(context, organisation)
    find_interval(context)
    remember_settings(open_ledger(organisation), organisation)
    with fail_for_good():
        _ = KustomerHook(organisation.kustomer_connection).web_url  # reading it checks the whole connection
        _ = StellaConnectHook(organisation.stella_connect_connection).settings
