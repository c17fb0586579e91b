# Two images from one file:
#   docker build --target runtime -t edge-sr:runtime .   upscale and benchmark; no torch, no onnx
#   docker build --target export  -t edge-sr:export .    train, evaluate and build bundles
FROM python:3.11-slim-bookworm AS wheel
# The native engine is compiled here; the images below hold no compiler.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11-slim-bookworm AS runtime
WORKDIR /data
COPY constraints.txt /tmp/constraints.txt
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir -c /tmp/constraints.txt /wheels/*.whl \
    && useradd --uid 1000 --create-home edge
USER 1000
ENTRYPOINT ["edge-sr"]
CMD ["--help"]

FROM python:3.11-slim-bookworm AS export
WORKDIR /data
COPY constraints.txt /tmp/constraints.txt
# Where torch comes from; give the index of PyTorch's CPU wheels for an image without CUDA libraries.
ARG TORCH_INDEX=""
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels \
    pip install --no-cache-dir -c /tmp/constraints.txt \
        ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch \
    && pip install --no-cache-dir -c /tmp/constraints.txt \
        "$(echo /wheels/*.whl)[export,train]" \
    && useradd --uid 1000 --create-home edge
USER 1000
ENTRYPOINT ["edge-sr"]
CMD ["--help"]
