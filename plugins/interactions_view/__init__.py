"""The interactions page inside Airflow's UI: what happened to every conversation, and why."""
