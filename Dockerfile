# Airflow with the tested packages in their pinned versions (requirements.txt) and this repository's connection types.
FROM apache/airflow:3.3.2-python3.12

COPY requirements.txt /opt/airflow/
# The base image has no bytecode, and a read-only container cannot write any: every process would compile Airflow again.
RUN pip install --no-cache-dir --require-hashes -r /opt/airflow/requirements.txt \
    && python -m compileall -q -j 0 "$(python -c 'import importlib.util as u; print(u.find_spec("airflow").origin.rsplit("/", 2)[0])')"

# The image holds the code; docker-compose.yaml mounts the working copy over it. Installing in place keeps one copy
# and lets Airflow find the entry point of the connection types.
COPY --chown=airflow:root pyproject.toml README.md /opt/airflow/
COPY --chown=airflow:root dags /opt/airflow/dags
COPY --chown=airflow:root docker /opt/airflow/docker
COPY --chown=airflow:root include /opt/airflow/include
COPY --chown=airflow:root plugins /opt/airflow/plugins
RUN pip install --no-cache-dir --no-deps --editable /opt/airflow

ENV PYTHONPATH=/opt/airflow
