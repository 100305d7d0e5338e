"""What every task needs of Airflow: the run, its organisation, settings, metrics and messages."""
