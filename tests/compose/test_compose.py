"""docker-compose.yaml, read by docker-compose itself."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml

from include.ledger.maintenance.command_line import main
from include.ledger.maintenance.exporting import DAYS
from include.ledger.schema import metadata
from scripts.stack.postgres import AS_COMPOSED, running

ROOT = Path(__file__).resolve().parents[2]
VENDOR_KEYS = {
    "KUSTOMER_API_KEY": "kustomer-key",
    "KUSTOMER_URL": "https://example.kustomerapp.com",
    "STELLA_CONNECT_API_KEY": "stella-key",
    "STELLA_CONNECT_API_SECRET": "stella-secret",
}
PARTS = {
    "airflow-init",
    "airflow-apiserver",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
    "airflow-worker",
}


def write_env(folder: Path, vendor_keys: dict[str, str]) -> Path:
    """What `make secrets` writes, with the vendors' keys filled in as a person would."""
    (folder / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "make-env", folder / "scripts")
    shutil.copy(ROOT / ".env.example", folder)
    subprocess.run([folder / "scripts" / "make-env"], check=True, stdin=subprocess.DEVNULL)
    env = folder / ".env"
    lines = env.read_text().splitlines()
    env.write_text("\n".join(f"{line}{vendor_keys.get(line.removesuffix('='), '')}" for line in lines) + "\n")
    return env


def config(env: Path) -> subprocess.CompletedProcess[str]:
    """Let docker-compose parse, interpolate and merge; only PATH comes from outside."""
    return subprocess.run(
        ["docker-compose", "--file", ROOT / "docker-compose.yaml", "--env-file", env, "config"],
        cwd=env.parent,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(env.parent)},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def env_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_env(tmp_path_factory.mktemp("env"), VENDOR_KEYS)


@pytest.fixture(scope="module")
def services(env_file: Path) -> dict[str, Any]:
    parsed = config(env_file)
    assert parsed.returncode == 0, parsed.stderr
    found: dict[str, Any] = yaml.safe_load(parsed.stdout)["services"]
    return found


@pytest.fixture(scope="module")
def environment(services: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = services["airflow-worker"]["environment"]
    return found


def test_every_part_of_airflow_is_there(services: dict[str, Any]) -> None:
    assert {name for name in services if name.startswith("airflow-")} == PARTS


@pytest.mark.parametrize("what", ["environment", "volumes", "image", "user"])
def test_every_part_of_airflow_has_the_same(services: dict[str, Any], what: str) -> None:
    differing = {name for name in PARTS if services[name][what] != services["airflow-worker"][what]}
    assert differing == set()


def test_the_image_is_built_once_and_never_looked_for_elsewhere(services: dict[str, Any]) -> None:
    assert {name for name in services if "build" in services[name]} == {"airflow-init"}
    using = {name for name in services if services[name]["image"] == services["airflow-init"]["image"]}
    assert {services[name]["pull_policy"] for name in using - {"airflow-init"}} == {"never"}


def test_the_code_is_mounted_where_airflow_looks_for_it(
    services: dict[str, Any], environment: dict[str, str]
) -> None:
    mounted = {volume.split(":")[1] for volume in services["airflow-worker"]["volumes"]}
    assert {f"{environment['PYTHONPATH']}/{folder}" for folder in ("dags", "plugins", "include", "logs")} == mounted


def test_nothing_is_written_but_volumes_and_temporary_files(services: dict[str, Any]) -> None:
    assert {name for name in services if services[name]["read_only"] is not True} == set()
    assert {name for name in services if "/tmp" not in services[name]["tmpfs"]} == set()
    assert {name for name in services if services[name]["security_opt"] != ["no-new-privileges:true"]} == set()


def test_airflow_is_not_root(services: dict[str, Any]) -> None:
    assert {services[name]["user"] for name in PARTS} == {"50000:0"}


def test_data_outlive_their_containers(services: dict[str, Any]) -> None:
    assert "postgres-data:/var/lib/postgresql/data:rw" in services["postgres"]["volumes"]
    assert "airflow-logs:/opt/airflow/logs:rw" in services["airflow-worker"]["volumes"]


def test_postgresql_gets_what_it_has_in_measurements(services: dict[str, Any]) -> None:
    program, *options = services["postgres"]["command"]
    assert program == "postgres"
    assert dict(option.removeprefix("--").split("=") for option in options) == AS_COMPOSED


def test_the_login_leads_to_where_people_open_airflow(env_file: Path, tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text(env_file.read_text().replace("AIRFLOW_URL=", "AIRFLOW_URL=https://airflow.example.com"))
    services = yaml.safe_load(config(env).stdout)["services"]
    assert services["airflow-apiserver"]["environment"]["AIRFLOW__API__BASE_URL"] == "https://airflow.example.com"


def test_ports_are_open_on_loopback_only(services: dict[str, Any]) -> None:
    published = [str(port) for service in services.values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_every_service_that_stays_tells_whether_it_is_healthy_and_restarts(services: dict[str, Any]) -> None:
    staying = services.keys() - {"airflow-init"}
    assert {name for name in staying if "test" not in services[name].get("healthcheck", {})} == set()
    assert {name for name in staying if services[name]["restart"] != "unless-stopped"} == set()


def test_every_part_waits_for_the_migrations(services: dict[str, Any]) -> None:
    for name in PARTS - {"airflow-init"}:
        waits_for = services[name]["depends_on"]
        assert waits_for["airflow-init"]["condition"] == "service_completed_successfully", name
        assert waits_for["postgres"]["condition"] == "service_healthy", name


def test_init_migrates_both_databases(services: dict[str, Any]) -> None:
    command = services["airflow-init"]["command"][-1]
    assert "airflow db migrate" in command
    assert "python -m include.ledger migrate" in command


def test_the_connections_carry_the_keys_from_env(environment: dict[str, str]) -> None:
    kustomer = json.loads(environment["AIRFLOW_CONN_KUSTOMER_DEFAULT"])
    assert kustomer == {
        "conn_type": "kustomer",
        "host": "https://api.kustomerapp.com",
        "password": "kustomer-key",
        "extra": {"web_url": "https://example.kustomerapp.com"},
    }
    stella = json.loads(environment["AIRFLOW_CONN_STELLA_CONNECT_DEFAULT"])
    assert stella == {
        "conn_type": "stella_connect",
        "host": "https://api.stellaconnect.net",
        "password": "stella-key",
        "extra": {"api_secret": "stella-secret"},
    }


def test_airflow_and_the_ledger_have_different_databases_and_users(environment: dict[str, str]) -> None:
    airflow = urlsplit(environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    ledger = urlsplit(environment["AIRFLOW_CONN_INTERACTION_LEDGER"])
    assert airflow.hostname == ledger.hostname == "postgres"
    assert airflow.path != ledger.path
    assert airflow.username != ledger.username
    assert airflow.password != ledger.password


def test_the_file_itself_holds_no_secret() -> None:
    text = (ROOT / "docker-compose.yaml").read_text()
    named = [
        line.strip() for line in text.splitlines() if "PASSWORD" in line or "SECRET" in line or "FERNET" in line
    ]
    assert named
    assert [line for line in named if "${" not in line and "$$" not in line] == []


def test_nothing_starts_before_make_secrets_has_been_run(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("")
    refused = config(tmp_path / ".env")
    assert refused.returncode != 0
    assert "run make secrets" in refused.stderr


def test_nothing_starts_without_the_vendors_keys(tmp_path: Path) -> None:
    refused = config(write_env(tmp_path, {}))
    assert refused.returncode != 0
    assert "fill in .env" in refused.stderr


def test_every_variable_of_the_compose_file_is_explained_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text().splitlines()
    explained = {line.split("=")[0] for line in example if "=" in line and not line.startswith("#")}
    compose = (ROOT / "docker-compose.yaml").read_text()
    used = {part.split("}")[0].split(":")[0] for part in compose.split("${")[1:]}
    assert used == explained


def test_make_secrets_makes_different_ones_and_only_its_owner_can_read_them(tmp_path: Path) -> None:
    env = write_env(tmp_path, {})
    lines = [line.split("=", 1) for line in env.read_text().splitlines() if line and not line.startswith("#")]
    secrets = [value for _, value in lines if value]
    assert len(secrets) == 9
    assert len(set(secrets)) == 9
    assert env.stat().st_mode & 0o077 == 0


def test_make_secrets_never_overwrites(tmp_path: Path) -> None:
    before = write_env(tmp_path, VENDOR_KEYS).read_text()
    again = subprocess.run([tmp_path / "scripts" / "make-env"], capture_output=True, text=True)
    assert again.returncode == 1
    assert (tmp_path / ".env").read_text() == before


def test_the_sandbox_starts_only_when_asked_for() -> None:
    sandbox = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]["sandbox"]
    assert sandbox["profiles"] == ["sandbox"]


@pytest.fixture
def composed() -> Iterator[Callable[[str, str], psycopg.Connection]]:
    """PostgreSQL after the init script; a function that connects a user to a database."""
    with running() as server:
        env = {
            **os.environ,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
            "POSTGRES_USER": "postgres",
            "AIRFLOW_DB_PASSWORD": "airflow-password",
            "LEDGER_DB_PASSWORD": "ledger-password",
            "LEDGER_READER_PASSWORD": "reader-password",
        }
        subprocess.run([ROOT / "docker" / "create-databases.sh"], env=env, check=True, capture_output=True)

        def connect(user: str, database: str) -> psycopg.Connection:
            return psycopg.connect(host="127.0.0.1", port=server.port, user=user, dbname=database)

        yield connect


@pytest.mark.postgres
def test_neither_database_user_can_open_the_others_database(
    composed: Callable[[str, str], psycopg.Connection],
) -> None:
    for user, other in (("airflow", "ledger"), ("ledger", "airflow")):
        with composed(user, user) as own:
            own.execute("CREATE TABLE mine (id integer)")
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            composed(user, other)


@pytest.mark.postgres
def test_the_reader_can_read_the_views_for_analysts_and_nothing_else(
    composed: Callable[[str, str], psycopg.Connection],
) -> None:
    with composed("ledger", "ledger") as owner:
        url = f"postgresql+psycopg://ledger@127.0.0.1:{owner.info.port}/ledger"
    assert main(["migrate", url]) == 0
    with composed("ledger_reader", "ledger") as reader:
        reader.autocommit = True
        for view in DAYS:
            assert reader.execute(f"SELECT count(*) FROM {view}").fetchone() == (0,)
        refused = [f"SELECT * FROM {table.name}" for table in metadata.sorted_tables]
        refused += ["DELETE FROM survey_response", "CREATE TABLE mine (id integer)"]
        for statement in refused:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                reader.execute(statement)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        composed("ledger_reader", "airflow")
