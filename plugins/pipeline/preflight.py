"""Check a run's settings and connections before it does anything."""

from airflow.sdk import Context

from plugins.kustomer.hook import KustomerHook
from plugins.pipeline.checking.vendor_check import refuse_failed_readings
from plugins.runtime.failures import fail_for_good
from plugins.runtime.organisations import Organisation
from plugins.runtime.run_context import find_interval, open_ledger, remember_settings, settings_of
from plugins.stella_connect.hook import StellaConnectHook


def check_configuration(context: Context, organisation: Organisation) -> None:
    """Read the settings, the three connections and the last check of both vendors, without a request to a vendor.

    Raises:
        AirflowFailException: names the setting or connection, the key in it, and what is allowed; or the reading
            that does not hold in this organisation.
    """
    settings_of(context, organisation)
    find_interval(context)
    ledger = open_ledger(organisation)
    remember_settings(ledger, organisation)
    with fail_for_good():
        refuse_failed_readings(ledger)
        _ = KustomerHook(organisation.kustomer_connection).web_url  # reading it checks the whole connection
        _ = StellaConnectHook(organisation.stella_connect_connection).settings
