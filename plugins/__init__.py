"""What Airflow is taught here: hooks, operators, a sensor and a trigger for the two vendors."""
