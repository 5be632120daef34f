# One image for API, worker and inbound; the command chooses. Servers are configured by BUDSTIKKE_* (docs/guides/install.md).
FROM python:3.13-slim AS build
RUN python -m venv /opt/venv
COPY requirements.lock ./
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/budstikke --create-home budstikke
COPY --from=build /opt/venv /opt/venv
WORKDIR /srv/budstikke
COPY alembic.ini ./
COPY migrations migrations
COPY app app
COPY workers workers
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    BUDSTIKKE_HOST=0.0.0.0 \
    BUDSTIKKE_INBOUND_HOST=0.0.0.0 \
    BUDSTIKKE_DATA_DIR=/var/lib/budstikke
USER budstikke
VOLUME /var/lib/budstikke
EXPOSE 8000 8025
HEALTHCHECK --interval=15s --timeout=3s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
ENTRYPOINT ["python", "-m", "app.cli"]
CMD ["api"]
