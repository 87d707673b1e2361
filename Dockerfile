# One image for the three services, the workflow API, the worker and the migrations; compose.yaml says which to run.
# Python is the oldest version that pyproject.toml supports: the one the tests run on.
FROM python:3.11.15-slim-trixie AS dependencies

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/venv
COPY requirements.lock /build/requirements.lock
# Every file is checked against the lock's hashes. Only font-roboto (font files) comes as source; the setuptools that
# packs it is fetched by pip for that moment and is the one thing here without a hash.
RUN /opt/venv/bin/pip install --require-hashes --no-deps --only-binary=:all: --no-binary=font-roboto \
      -r /build/requirements.lock \
    && /opt/venv/bin/pip check

FROM python:3.11.15-slim-trixie

RUN groupadd --system --gid 10001 lienthong \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin lienthong \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/evidence
COPY --from=dependencies /opt/venv /opt/venv
WORKDIR /app
COPY alembic.ini ./
COPY kit ./kit
COPY services ./services
COPY workflows ./workflows
# The root file system is read-only at run time, so byte code is made here.
RUN /opt/venv/bin/python -m compileall -q kit services workflows

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONFAULTHANDLER=1 \
    HOME=/tmp
USER 10001:10001
EXPOSE 8000
