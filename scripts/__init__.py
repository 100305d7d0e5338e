"""Programs for people and tests: the demo, a local Airflow, measurements."""
