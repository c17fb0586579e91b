# Four images from one file; all but export hold neither torch nor onnx:
#   docker build --target runtime -t edge-sr:runtime .   upscale and benchmark on a CPU
#   docker build --target export  -t edge-sr:export .    train, evaluate and build bundles
#   docker build --target jetson  -t edge-sr:jetson .    on a Jetson with JetPack 6.2 (L4T r36.4)
#   docker build --target gpu     -t edge-sr:gpu .       on a desktop with an NVIDIA GPU (CUDA 13)

# CUDA 12.6, TensorRT 10.3 and Ubuntu 22.04 with Python 3.10, as JetPack 6.2 has them. The name is in
# wide use, but this file has not been built on a device yet; l4t-jetpack:r36.4.0 of the same
# registry is the larger image with all of JetPack.
ARG JETSON_BASE=nvcr.io/nvidia/l4t-tensorrt:r10.3.0-runtime
# Ubuntu 24.04 with Python 3.12; onnxruntime-gpu needs its cuDNN 9.
ARG GPU_BASE=nvidia/cuda:13.0.1-cudnn-runtime-ubuntu24.04

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

FROM ${JETSON_BASE} AS jetson-venv
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# TensorRT is the system's own, which belongs to the driver.
RUN python3 -m venv --system-site-packages /opt/edge-sr \
    && /opt/edge-sr/bin/pip install --no-cache-dir -c constraints.txt .

FROM ${JETSON_BASE} AS jetson
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=jetson-venv /opt/edge-sr /opt/edge-sr
# Group video may open a Jetson's device nodes.
RUN useradd --uid 10001 --groups video --create-home edge
ENV PATH=/opt/edge-sr/bin:$PATH
WORKDIR /data
USER 10001
ENTRYPOINT ["edge-sr"]
CMD ["--help"]

FROM ${GPU_BASE} AS gpu-venv
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Empty leaves TensorRT out, some gigabytes; the CUDA provider of ONNX Runtime stays.
ARG EXTRAS="[tensorrt]"
# onnxruntime-gpu has the files of onnxruntime under the same names and takes its place.
ARG ONNXRUNTIME_GPU=1.31.1
RUN python3 -m venv /opt/edge-sr \
    && /opt/edge-sr/bin/pip install --no-cache-dir -c constraints.txt ".$EXTRAS" \
    && /opt/edge-sr/bin/pip uninstall --yes onnxruntime \
    && /opt/edge-sr/bin/pip install --no-cache-dir -c constraints.txt \
        "onnxruntime-gpu==$ONNXRUNTIME_GPU"

FROM ${GPU_BASE} AS gpu
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/*
COPY --from=gpu-venv /opt/edge-sr /opt/edge-sr
# 1000 is taken in Ubuntu 24.04.
RUN useradd --uid 10001 --create-home edge
ENV PATH=/opt/edge-sr/bin:$PATH
WORKDIR /data
USER 10001
ENTRYPOINT ["edge-sr"]
CMD ["--help"]
