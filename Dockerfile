# Serves an export (docs/how-to/container.md): the packages of prediction and the service, no torch, no NNI, no model.
FROM python:3.11-slim-bookworm AS wheel
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir build==1.6.1 \
    && python -m build --wheel --outdir /wheels

FROM python:3.11-slim-bookworm
ENV PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt /tmp/
COPY --from=wheel /wheels/ /tmp/wheels/
# The package without its requirements, then those of the extras runtime and serve alone.
RUN pip install --no-cache-dir --no-deps /tmp/wheels/*.whl \
    && python -c "from importlib.metadata import requires; \
print(*(line.partition(';')[0] for line in requires('bioautoml-nni') if line.endswith(('\"runtime\"', '\"serve\"'))), sep='\n')" \
        > /tmp/requirements.txt \
    && pip install --no-cache-dir --constraint /tmp/constraints.txt --requirement /tmp/requirements.txt \
    && rm -r /tmp/constraints.txt /tmp/requirements.txt /tmp/wheels \
    && useradd --create-home --uid 10001 bioautoml
USER bioautoml
WORKDIR /home/bioautoml
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
ENTRYPOINT ["bioautoml", "serve"]
CMD ["/model", "--host", "0.0.0.0", "--port", "8000"]
