"""Connections as people write them: in the form, as JSON, as a URI."""

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.http.hooks.http import HttpHook

from plugins.kustomer.hook import KustomerHook
from plugins.stella_connect.hook import StellaConnectHook
from plugins.vendor_api.connection import HttpSettings
from plugins.vendor_api.errors import ConfigurationError

WEB = {"web_url": "https://acme.kustomerapp.com"}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    def read(extra: object = WEB, **fields: Any) -> HttpSettings:
        connection = {"conn_type": "kustomer", "password": "key-of-tests", "extra": extra, **fields}
        monkeypatch.setenv("AIRFLOW_CONN_KUSTOMER_DEFAULT", json.dumps(connection))
        return KustomerHook().settings

    return read


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "https://acme.example.com"},
        {"host": "acme.example.com", "schema": "https"},
        {"host": "https://acme.example.com", "port": 8443},
        {"host": "127.0.0.1", "port": 8101},
        {"host": "http://localhost", "port": 8101},
    ],
)
def test_host_schema_and_port_mean_what_they_mean_to_the_http_hook(
    settings: Any, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    ours = settings(**fields)
    monkeypatch.setenv("AIRFLOW_CONN_SAME", json.dumps({"conn_type": "http", **fields}))
    theirs = HttpHook(http_conn_id="same")
    theirs.get_conn()
    assert ours.base_url == theirs.base_url


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "https://api.kustomerapp.com"),
        ({"host": " "}, "https://api.kustomerapp.com"),
        ({"host": "acme.example.com"}, "https://acme.example.com"),
        ({"host": "https://acme.example.com/"}, "https://acme.example.com"),
        ({"host": "https://gate.example.com/", "port": 444}, "https://gate.example.com:444"),
        ({"host": "https://acme.example.com:444", "port": 444}, "https://acme.example.com:444"),
        ({"host": "http://[::1]:8101"}, "http://[::1]:8101"),
    ],
)
def test_the_address_is_put_together(settings: Any, fields: dict[str, Any], expected: str) -> None:
    assert settings(**fields).base_url == expected


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"host": "http://api.kustomerapp.com"}, "plain http:// to api.kustomerapp.com"),
        ({"host": "api.kustomerapp.com", "schema": "http"}, "plain http://"),
        ({"host": "http://127.0.0.1.example.com"}, "plain http://"),
        ({"host": "http://10.0.0.1"}, "plain http://"),
        ({"host": "ftp://acme.example.com"}, "no usable address"),
        ({"host": "https://"}, "no usable address"),
        ({"host": "https://acme.example.com:port"}, "no usable address"),
        ({"host": "https://[bad"}, "no usable address"),
        ({"host": "https://user:word@acme.example.com"}, "a user or password in host"),
        ({"host": "https://acme.example.com/v1"}, "path (/v1) after the host in host (the API URL)"),
        ({"host": "https://acme.example.com/v1/"}, "write only https://acme.example.com there"),
        ({"host": "acme.example.com/v1"}, "write only https://acme.example.com there"),
        ({"host": "https://gate.example.com/kustomer", "port": 444}, "path (/kustomer)"),
        ({"host": "https://acme.example.com?key=1"}, "query after the host"),
        ({"host": "https://acme.example.com/#key"}, "fragment after the host"),
        ({"host": "https://acme.example.com\u200b"}, "that an address cannot have"),
        ({"host": "https://acme.example.com /v1"}, "that an address cannot have"),
        ({"host": "https://acme.example.com:1", "port": 2}, "two ports"),
        ({"password": ""}, "lacks password (the API key)"),
        ({"password": None, "extra": {}}, 'lacks password (the API key) and "web_url" in the extra'),
        ({"password": "two keys"}, "password with spaces"),
        ({"password": "schlüssel"}, "characters that a key cannot have"),
        ({"extra": "[]"}, "not a JSON object"),
        ({"extra": "{"}, "not a JSON object"),
        ({"extra": {**WEB, "timeout": "soon"}}, '"timeout"'),
        ({"extra": {**WEB, "timeout": 0}}, '"timeout"'),
        ({"extra": {**WEB, "timeout": [1, 2, 3]}}, '"timeout"'),
        ({"extra": {**WEB, "verify": "/no/such/bundle.pem"}}, "does not exist"),
        ({"extra": {**WEB, "cert": ["/no/such/cert.pem", "/no/such/key.pem"]}}, "does not exist"),
        ({"extra": {**WEB, "cert": 7}}, '"cert"'),
        ({"extra": {**WEB, "proxies": 7}}, '"proxies"'),
    ],
)
def test_a_connection_that_cannot_work_is_refused_by_name(settings: Any, fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        settings(**fields)
    assert "'kustomer_default'" in str(refused.value)
    assert told in str(refused.value)
    assert "AIRFLOW_CONN_KUSTOMER_DEFAULT" in str(refused.value)
    assert "word" not in str(refused.value).replace("password", "")


def test_a_missing_connection_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'nobody_defined_this' does not exist"):
        _ = KustomerHook("nobody_defined_this").settings


def test_a_missing_secret_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_STELLA_CONNECT_DEFAULT", '{"conn_type": "stella_connect", "password": "key12"}'
    )
    with pytest.raises(ConfigurationError, match="'stella_connect_default' lacks \"api_secret\" in the extra"):
        _ = StellaConnectHook().settings


def test_a_pasted_line_break_is_not_part_of_the_key(settings: Any) -> None:
    assert settings(password=" key-of-tests\n").key == "key-of-tests"


def test_the_settings_do_not_show_secrets(settings: Any) -> None:
    shown = repr(settings(extra={**WEB, "api_secret": "hidden-one"}))
    assert "key-of-tests" not in shown
    assert "hidden-one" not in shown


def test_timeouts_are_five_and_thirty_seconds_unless_said(settings: Any) -> None:
    assert settings().timeout == (5, 30)
    assert settings({**WEB, "timeout": "12.5"}).timeout == (12.5, 12.5)
    assert settings({**WEB, "timeout": [2, 60]}).timeout == (2, 60)


def test_verification_is_on_unless_switched_off(settings: Any, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    assert settings().verify is True
    assert settings({**WEB, "verify": False}).verify is False
    assert settings({**WEB, "verify_ssl": "False"}).verify is False
    assert settings({**WEB, "verify": str(bundle)}).verify == str(bundle)


def test_a_client_certificate_is_one_file_or_two(settings: Any, tmp_path: Path) -> None:
    one, two = tmp_path / "one.pem", tmp_path / "two.pem"
    one.touch()
    two.touch()
    assert settings({**WEB, "cert": str(one)}).cert == str(one)
    assert settings({**WEB, "cert": [str(one), str(two)]}).cert == (str(one), str(two))


def test_proxies_are_one_url_or_one_for_each_scheme(settings: Any) -> None:
    assert settings({**WEB, "proxy": "http://proxy.example.com"}).proxies["https"] == "http://proxy.example.com"
    proxies = {"https": "http://proxy.example.com"}
    assert settings({**WEB, "proxies": proxies}).proxies == proxies


def test_a_loopback_host_is_never_reached_through_a_proxy(settings: Any) -> None:
    local = settings({**WEB, "proxies": {"http": "http://proxy.example.com"}}, host="http://127.0.0.1:8101")
    assert local.proxies == {}
    assert local.trust_env is False


@pytest.mark.parametrize(
    "value",
    [
        '{"conn_type": "stella_connect", "host": "https://acme.example.com", "password": "key/1",'
        ' "extra": {"api_secret": "s&cret", "jwt_prefix": "Bearer"}}',
        "stella-connect://:key%2F1@acme.example.com/https?api_secret=s%26cret&jwt_prefix=Bearer",
        "stella-connect://:key%2F1@https%3A%2F%2Facme.example.com/?api_secret=s%26cret&jwt_prefix=Bearer",
        "stella-connect://:key%2F1@acme.example.com/?"
        "__extra__=%7B%22api_secret%22%3A%22s%26cret%22%2C%22jwt_prefix%22%3A%22Bearer%22%7D",
    ],
)
def test_json_and_uri_give_the_same_connection(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_STELLA_CONNECT_DEFAULT", value)
    settings = StellaConnectHook().settings
    assert settings.base_url == "https://acme.example.com"
    assert settings.key == "key/1"
    assert settings.extra == {"api_secret": "s&cret", "jwt_prefix": "Bearer"}


def test_the_link_address_has_no_trailing_slash(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings({"web_url": "https://acme.kustomerapp.com/ "})
    assert KustomerHook().web_url == "https://acme.kustomerapp.com"


@pytest.mark.parametrize(
    "web_url",
    [
        "acme",
        "javascript:alert(1)",
        "http://acme.kustomerapp.com",
        7,
        "https://acme.kustomerapp.com/app",  # our links bring /app themselves
        "https://acme.kustomerapp.com/app/",
        "https://acme.kustomerapp.com/?tab=1",
    ],
)
def test_a_link_address_that_is_none_is_refused(settings: Any, web_url: object) -> None:
    settings({"web_url": web_url})
    with pytest.raises(ConfigurationError, match="web_url"):
        _ = KustomerHook().web_url


def test_secrets_are_masked_in_logs(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    masked: list[object] = []
    monkeypatch.setattr("plugins.vendor_api.connection.mask_secret", masked.append)
    settings({**WEB, "api_secret": "hidden-one"}, password=" key-of-tests ")
    assert "key-of-tests" in masked
    assert {**WEB, "api_secret": "hidden-one"} in masked
