"""The domain in pure Python: what a closing is, who may be surveyed, when, and with which request.

Nothing here imports Airflow, speaks HTTP or opens a database; times are timezone-aware UTC datetimes.
"""
