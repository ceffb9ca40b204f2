# One image for both services. The receiver is the default command; the worker is started with
#   gunicorn "main:worker()"
# Pin the base by digest here: python:3.13-slim-bookworm@sha256:... (docs/security-review.md).
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
RUN python3 -m venv /app/venv
COPY requirements.txt requirements-firestore.txt ./
# Compiled here once, so that a cold start does not compile.
RUN /app/venv/bin/pip install --no-cache-dir --compile --require-hashes -r requirements.txt -r requirements-firestore.txt

FROM ${PYTHON_IMAGE}
ENV PATH=/app/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# By default malloc keeps freed memory apart for each of many threads: 40 parallel posts of 20 MB then take twice as much.
ENV MALLOC_ARENA_MAX=2
WORKDIR /app
COPY --from=build /app/venv /app/venv
COPY gunicorn.conf.py main.py ./
COPY relay relay
COPY handlers handlers
RUN printf '#!/bin/sh\nPYTHONPATH=/app exec /app/venv/bin/python -m relay "$@"\n' > venv/bin/relay && chmod 755 venv/bin/relay
RUN python3 -m compileall -q main.py relay handlers
USER 65532:65532
# Exec form: gunicorn is PID 1 and gets Cloud Run's SIGTERM.
CMD ["gunicorn", "main:receiver()"]
