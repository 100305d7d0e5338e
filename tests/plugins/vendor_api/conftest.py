import pytest

from plugins.vendor_api import settings


@pytest.fixture
def stella_masked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was handed to Airflow's secrets masker."""
    masked: list[str] = []
    monkeypatch.setattr(settings, "mask_secret", masked.append)
    return masked
