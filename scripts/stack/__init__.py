"""A real Airflow on this machine, for the demo, for measurements and for tests."""
