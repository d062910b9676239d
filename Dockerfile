# syntax=docker/dockerfile:1
# The service without an embedded Redis: `docker build .`; the load test: `docker build --target loadtest .`
ARG PYTHON=python:3.11.14-slim-bookworm

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY service service
COPY lua lua
# The build tools are in a virtual environment that is not copied. The service is installed from its wheel, as released.
RUN python -m venv --without-pip /opt/build \
    && pip --python /opt/build/bin/python install --constraint constraints.txt hatchling \
    && pip --python /opt/build/bin/python wheel --no-deps --no-build-isolation --wheel-dir /opt/wheel .
# The image needs no pip. Modules are compiled here, because bytecode cannot be written to a read-only root later.
RUN python -m venv --without-pip /opt/polystow \
    && pip --python /opt/polystow/bin/python install \
       --only-binary :all: --compile --constraint constraints.txt /opt/wheel/polystow-*.whl

FROM build AS build-loadtest
RUN wheel=$(echo /opt/wheel/polystow-*.whl) \
    && pip --python /opt/polystow/bin/python install \
       --only-binary :all: --compile --constraint constraints.txt "${wheel}[loadtest]"

FROM ${PYTHON} AS loadtest
LABEL org.opencontainers.image.title="polystow-loadtest" \
      org.opencontainers.image.description="Locust with the users of Polystow's load test" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build-loadtest /opt/polystow /opt/polystow
WORKDIR /opt/loadtest
COPY bench bench
ENV PATH=/opt/polystow/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
# The port of the master, for its workers.
EXPOSE 5557
ENTRYPOINT ["locust", "-f", "bench/locustfile.py", "--headless"]

FROM ${PYTHON} AS service
LABEL org.opencontainers.image.title="polystow" \
      org.opencontainers.image.description="Four vendors' storage APIs, served from one core on Redis" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/polystow /opt/polystow
# All other settings have their own defaults; POLYSTOW_REDIS_URL must be given.
ENV PATH=/opt/polystow/bin:$PATH \
    POLYSTOW_HOST=0.0.0.0 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# As a number, so that Kubernetes can see that it is not root.
USER 10001:10001
WORKDIR /opt/polystow
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
# Checks the process only, because a restart does not help if Redis is away. Kubernetes uses its own probes instead.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 CMD ["python", "-c", "\
import os, urllib.request; \
port = os.getenv('POLYSTOW_OPS_PORT', '8081'); \
urllib.request.urlopen(f'http://127.0.0.1:{port}/healthz', timeout=4)"]
ENTRYPOINT ["polystow"]
CMD ["serve"]
