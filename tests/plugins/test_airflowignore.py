"""Airflow imports what it sees below plugins/ when any of its processes starts."""

import shutil
from pathlib import Path

from airflow.sdk._shared.plugins_manager.plugins_manager import _load_plugins_from_plugin_directory

PLUGINS = Path(__file__).parents[2] / "plugins"


def test_only_the_plugin_is_imported_as_a_plugin(tmp_path: Path) -> None:
    shutil.copy(PLUGINS / ".airflowignore", tmp_path)
    trap = "raise RuntimeError('imported as a plugin')"
    for path in (
        "__init__.py",
        "provider_info.py",
        "kustomer/hook.py",
        "kustomer/__init__.py",
        "a/b/c.py",
        "interactions_view/app.py",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(trap)
    (tmp_path / "interactions_view" / "plugin.py").write_text(
        "from airflow.plugins_manager import AirflowPlugin\n\n\nclass Page(AirflowPlugin):\n    name = 'page'\n"
    )
    plugins, errors = _load_plugins_from_plugin_directory(str(tmp_path))
    assert errors == {}
    assert [plugin.name for plugin in plugins] == ["page"]


def test_our_own_plugins_folder_imports_without_an_error() -> None:
    _, errors = _load_plugins_from_plugin_directory(str(PLUGINS))
    assert errors == {}
