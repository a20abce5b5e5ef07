#!/bin/bash
# Runs the engine's container once on Container-Optimized OS. Started by tickdeck-worker.service, which cloud-init writes.
# What it says goes to the journal and to the serial port, so a VM that cannot start says why after it is gone.
set -u

metadata="http://metadata.google.internal/computeMetadata/v1/instance"
runtime="${RUNTIME_DIRECTORY:-/run/tickdeck}"
environment="${runtime}/env"
secret="${runtime}/secret"

say() {
  echo "tickdeck: $*"
}

attribute() {
  curl --silent --show-error --fail --retry 5 --retry-connrefused --max-time 20 \
    --header "Metadata-Flavor: Google" "${metadata}/attributes/$1"
}

# The source's key, by version, straight from Secret Manager into a file that only root reads; never into metadata or arguments.
fetch_secret() {
  local version="${TICKDECK_SECRET:-}" token answer
  [ -n "${version}" ] || return 0
  token="$(curl --silent --show-error --fail --retry 5 --max-time 20 --header "Metadata-Flavor: Google" \
    "${metadata}/service-accounts/default/token" | sed -n 's/.*"access_token" *: *"\([^"]*\)".*/\1/p')"
  answer="$(printf 'header = "Authorization: Bearer %s"\n' "${token}" \
    | curl --silent --show-error --fail --retry 5 --max-time 30 --config - \
      "https://secretmanager.googleapis.com/v1/${version}:access")" || {
    say "cannot read ${version}: the worker's account needs secretmanager.secretAccessor on it"
    return 77
  }
  printf 'TARDIS_API_KEY=%s\n' "$(printf '%s' "${answer}" | tr -d '\n' \
    | sed -n 's/.*"data" *: *"\([^"]*\)".*/\1/p' | base64 --decode)" >"${secret}"
}

main() {
  umask 077
  mkdir -p "${runtime}"
  : >"${secret}"
  if ! attribute tickdeck-env >"${environment}"; then
    say "no metadata item tickdeck-env: this VM was not made by tickdeck deploy"
    return 78
  fi
  fetch_secret || return $?
  if [ -n "${TICKDECK_REGISTRY:-}" ]; then
    docker-credential-gcr configure-docker --registries="${TICKDECK_REGISTRY}" >/dev/null || return 69
  fi
  local attempt
  for attempt in 1 2 3 4 5; do
    docker pull --quiet "${TICKDECK_IMAGE}" && break
    if [ "${attempt}" = 5 ]; then
      say "cannot pull ${TICKDECK_IMAGE}: the worker's account needs artifactregistry.reader, the VM a way to the registry"
      return 69
    fi
    sleep "$((attempt * 5))"
  done
  say "starting ${TICKDECK_IMAGE}"
  docker run --rm --name tickdeck --network host --log-driver=local \
    --env-file "${environment}" --env-file "${secret}" "${TICKDECK_IMAGE}" work
}

main
code=$?
rm -f "${secret}"
say "worker ended, exit code ${code}"
exit "${code}"
