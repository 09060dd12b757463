# Two images from one file, built by the Makefile's own steps:
#   docker build --target app .       the web application (no torch)
#   docker build --target worker .    the training service; torch for NVIDIA cards
FROM python:3.11-slim-bookworm AS app
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 blindrate && mkdir -p /srv/blindrate /data && chown blindrate /srv/blindrate /data
USER blindrate
WORKDIR /srv/blindrate
COPY --chown=blindrate pyproject.toml README.md Makefile ./
COPY --chown=blindrate app app
COPY --chown=blindrate training training
COPY --chown=blindrate migrations migrations
COPY --chown=blindrate templates templates
COPY --chown=blindrate static static
COPY --chown=blindrate examples examples
RUN make install
ENV PATH=/srv/blindrate/.venv/bin:$PATH BLINDRATE_DATA_DIR=/data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --retries=6 \
  CMD python -c "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=4)"
CMD ["sh", "-c", "blindrate migrate && exec blindrate serve --host 0.0.0.0 --port 8000 --workers 2"]

FROM app AS worker
RUN make training TORCH='torch>=2.5'
HEALTHCHECK NONE
CMD ["blindrate", "worker", "--queue", "gpu"]
