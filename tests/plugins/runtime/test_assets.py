from plugins.runtime.assets import make_asset
from plugins.runtime.organisations import DEFAULT


def test_an_assets_scheme_spares_airflow_the_handlers_of_all_providers() -> None:
    assert make_asset(DEFAULT, "released", "interactions/released").uri.startswith("x-kustomer-stella-connect://")
