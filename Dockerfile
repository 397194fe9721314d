# The image serves uploads from /srv/uploads on port 8080, as an ordinary user. Its Python is built
# with optimisations; `make bench PYTHON=...` compares versions.
FROM node:22-slim AS pages
WORKDIR /src
COPY tusd_py/web/ui ./
RUN npm ci --no-fund --no-audit && npm run build

FROM python:3.14-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt requirements.lock ./
RUN python -m venv /opt/tusd-py \
 && /opt/tusd-py/bin/pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY tusd_py ./tusd_py
COPY --from=pages /src/dist ./tusd_py/web/ui/dist
RUN PIP_CONSTRAINT=constraints.txt /opt/tusd-py/bin/pip install --no-cache-dir --no-deps .

FROM python:3.14-slim
RUN useradd --uid 1000 --create-home --shell /usr/sbin/nologin tusd \
 && install -d -o tusd -g tusd /srv/uploads
COPY --from=build /opt/tusd-py /opt/tusd-py
ENV PATH=/opt/tusd-py/bin:$PATH PYTHONUNBUFFERED=1 TUSD_PY_UPLOAD_DIR=/srv/uploads
USER tusd
VOLUME /srv/uploads
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('localhost', 8080, timeout=4); c.request('OPTIONS', '/files/'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["tusd-py", "serve"]
