"""What people and tests start: Airflow's parts, the demo, measurements."""
