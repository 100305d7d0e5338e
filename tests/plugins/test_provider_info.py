"""The connection types, as Airflow itself finds them through the installed entry point."""

import importlib.metadata
from importlib import import_module

import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk import Connection
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime
from pytest_httpserver import HTTPServer

from plugins.kustomer.hook import KustomerHook
from plugins.provider_info import get_provider_info
from plugins.runtime.webhook import AlarmWebhookHook
from plugins.stella_connect.hook import StellaConnectHook

VENDORS = {"kustomer": KustomerHook, "stella_connect": StellaConnectHook}
TYPES = {**VENDORS, "alarm_webhook": AlarmWebhookHook}


def test_the_package_name_is_that_of_the_distribution() -> None:
    name = get_provider_info()["package-name"]
    entry_points = importlib.metadata.distribution(name).entry_points
    assert entry_points["provider_info"].load() is get_provider_info


@pytest.mark.parametrize("conn_type", TYPES)
def test_airflow_lists_the_connection_type_with_its_hook(conn_type: str) -> None:
    hook = ProvidersManagerTaskRuntime().hooks[conn_type]
    assert hook is not None
    module, _, name = hook.hook_class_name.rpartition(".")
    assert getattr(import_module(module), name) is TYPES[conn_type]
    assert hook.connection_testable
    assert hook.hook_name == TYPES[conn_type].hook_name
    assert hook.connection_id_attribute_name == TYPES[conn_type].conn_name_attr


@pytest.mark.parametrize("described", get_provider_info()["connection-types"])
def test_what_the_form_says_agrees_with_the_hook(described: dict[str, object]) -> None:
    hook = TYPES[str(described["connection-type"])]
    assert described["hook-name"] == hook.hook_name
    required = getattr(hook, "required_extras", ())
    assert set(required) <= set(described.get("conn-fields", ()))  # type: ignore[call-overload] # a dict


def test_the_form_has_the_fields_and_hides_the_secret() -> None:
    widgets = ProvidersManager().connection_form_widgets
    ours = {name for name in widgets if name.split("__")[1] in TYPES}
    assert ours == {
        "extra__kustomer__web_url",
        "extra__stella_connect__api_secret",
        "extra__stella_connect__jwt_prefix",
    }
    behaviours = ProvidersManager().field_behaviours
    for conn_type in TYPES:
        if conn_type in VENDORS:
            assert behaviours[conn_type]["relabeling"]["password"] == "API key"
        assert set(behaviours[conn_type]["hidden_fields"]) == {"schema", "login", "port"}


def test_the_test_button_reaches_the_hook(kustomer_server: HTTPServer) -> None:
    kustomer_server.expect_request("/v1/auth/tokens/current").respond_with_json(
        {"data": {"attributes": {"roles": ["org.permission"]}}}
    )
    ok, told = Connection.get("kustomer_default").test_connection()
    assert ok, told
