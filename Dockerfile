# One image for every service. `docker compose up` runs the mesh; `docker run --rm tollway --help` says what else there is.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# --build-arg PIP_INDEX_URL=… builds from a mirror. It is not kept in the image.
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /opt/tollway
WORKDIR /src
COPY requirements.lock ./
RUN /opt/tollway/bin/pip install --quiet --require-hashes -r requirements.lock
COPY requirements-dev.lock ./
# What builds the package, held to its hashes by the developers' lock, and not in the image.
RUN awk '/^[a-z]/ {ours = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/} ours' \
      requirements-dev.lock > build.lock \
 && python3 -m venv /opt/build \
 && /opt/build/bin/pip install --quiet --require-hashes -r build.lock
COPY pyproject.toml README.md LICENSE ./
COPY gen gen
COPY mesh mesh
COPY services services
COPY gateway_http gateway_http
COPY tollway_cli tollway_cli
RUN /opt/build/bin/pip wheel --quiet --no-deps --no-build-isolation -w /wheels . \
 && /opt/tollway/bin/pip install --quiet --no-deps /wheels/*.whl \
 && /opt/tollway/bin/pip uninstall --quiet --yes setuptools pip

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin tollway \
 && install -d -o tollway -g tollway /data
COPY --from=build /opt/tollway /opt/tollway
COPY deploy/healthcheck.py /opt/tollway/bin/healthcheck
ENV PATH=/opt/tollway/bin:$PATH PYTHONUNBUFFERED=1 TOLLWAY_DATA_DIR=/data
USER tollway
WORKDIR /data
VOLUME /data
EXPOSE 8080 50051
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["healthcheck", "http://127.0.0.1:8080/healthz"]
ENTRYPOINT ["tollway"]
