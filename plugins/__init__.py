"""Code that runs inside Airflow: hooks, tasks, connection types, and the page in the UI."""
