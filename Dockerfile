# One image for every process: `docker run holdfast worker`, `docker run holdfast gateway`, ...
FROM python:3.11.14-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

WORKDIR /src
COPY requirements.lock ./
RUN pip install --require-hashes -r requirements.lock
COPY . ./
# The image's own setuptools builds it: nothing is fetched that the lock does not name.
RUN pip install --no-deps --no-build-isolation .

RUN useradd --uid 10001 --create-home holdfast \
    && install --directory --owner=holdfast --group=holdfast /var/lib/holdfast
USER holdfast
WORKDIR /var/lib/holdfast
ENV HOLDFAST_DATA_DIR=/var/lib/holdfast
VOLUME /var/lib/holdfast
ENTRYPOINT ["holdfast"]
