# Two stages: one installs the pinned set into a virtual environment, the other runs it. Nothing is fetched at run time.
FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python -m venv /opt/lectern

# torch first and alone, as CPU wheels; then what changes seldom, each file by its hash, before our own code.
COPY constraints.txt requirements.lock ./
RUN /opt/lectern/bin/pip install --no-deps --index-url "$TORCH_INDEX" "$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' constraints.txt)"
RUN /opt/lectern/bin/pip install --no-deps --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY lectern lectern
COPY app app
COPY retriever retriever
COPY model model
RUN /opt/lectern/bin/pip install --no-deps --no-build-isolation .

# What is in the image, as CycloneDX: /opt/lectern/sbom.cdx.json
COPY deploy/tools.lock ./
RUN python -m venv /opt/tools \
    && /opt/tools/bin/pip install --no-deps --require-hashes -r tools.lock \
    && /opt/tools/bin/cyclonedx-py environment --output-reproducible --of JSON -o /opt/lectern/sbom.cdx.json /opt/lectern/bin/python

FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends libtcmalloc-minimal4 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /nonexistent --shell /usr/sbin/nologin lectern \
    && install -d -o lectern -g lectern -m 0700 /data
COPY --from=build /opt/lectern /opt/lectern
# tcmalloc: allocation dominates CPU time on virtual machines.
ENV PATH=/opt/lectern/bin:$PATH \
    LD_PRELOAD=libtcmalloc_minimal.so.4 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HF_HUB_OFFLINE=1 \
    LECTERN_HOST=0.0.0.0 \
    LECTERN_PORT=8000 \
    LECTERN_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
CMD ["lectern", "serve"]
