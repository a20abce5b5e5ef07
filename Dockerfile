# The engine as VMs run it: no terminal UI, no compiler, not root. The full image builds: it has one, for the parser in C. Built by `tickdeck images build-and-push`.
FROM python:3.12-bookworm AS build
WORKDIR /src
COPY pyproject.toml hatch_build.py constraints.txt README.md LICENSE ./
COPY engine ./engine
COPY provision ./provision
COPY console ./console
COPY themes ./themes
RUN python -m venv /opt/tickdeck
RUN /opt/tickdeck/bin/python -m pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt .
RUN /opt/tickdeck/bin/engine --version

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/tickdeck --create-home --shell /usr/sbin/nologin tickdeck
COPY --from=build /opt/tickdeck /opt/tickdeck
ENV PATH=/opt/tickdeck/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 TZ=UTC
USER tickdeck
WORKDIR /var/lib/tickdeck
ENTRYPOINT ["engine"]
CMD ["work"]
