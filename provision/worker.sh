#!/bin/bash
# Runs the engine's container once on Container-Optimized OS. Started by tickdeck-worker.service, which cloud-init writes.
# What it says goes to the journal and to the serial port, so a VM that cannot start says why after it is gone.
# "worker.sh end" is what the unit does afterwards: it powers the VM off, a kept one at the end of its time.
set -u

metadata="http://metadata.google.internal/computeMetadata/v1/instance"
runtime="${RUNTIME_DIRECTORY:-/run/tickdeck}"
environment="${runtime}/env"
secret="${runtime}/secret"
stopping=""

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

pull() {
  local attempt
  for attempt in 1 2 3 4 5; do
    [ -z "${stopping}" ] || return 75
    docker pull --quiet "${TICKDECK_IMAGE}" && return 0
    [ "${attempt}" = 5 ] || sleep "$((attempt * 5))"
  done
  say "cannot pull ${TICKDECK_IMAGE}: the worker's account needs artifactregistry.reader, the VM a way to the registry"
  return 69
}

# The shutdown of a preempted VM is a SIGTERM here: the worker gets it from docker, with 25 s to write down what is known.
hear_stop() {
  stopping=yes
  say "told to stop"
  docker stop -t 25 tickdeck
}

run_container() {
  local container code
  # A trap waits for the command in front of it, so the container runs behind, and a wait that a signal cut short is taken up again.
  docker run --rm --name tickdeck --network host --log-driver=local \
    --env-file "${environment}" --env-file "${secret}" "${TICKDECK_IMAGE}" work &
  container="$!"
  wait "${container}"
  code=$?
  if [ -n "${stopping}" ]; then
    wait "${container}"
    code=$?
  fi
  return "${code}"
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
  pull || return $?
  [ -z "${stopping}" ] || return 75
  say "starting ${TICKDECK_IMAGE}"
  run_container
}

work() {
  local code
  trap hear_stop TERM
  main
  code=$?
  rm -f "${secret}"
  say "worker ended, exit code ${code}"
  return "${code}"
}

end() {
  local left=0
  [ -z "${TICKDECK_STAYS_UNTIL:-}" ] || left="$((TICKDECK_STAYS_UNTIL - $(date +%s)))"
  if [ "${left}" -gt 0 ] && [ "$(systemctl is-system-running)" != stopping ]; then
    say "kept for ${left} s more, then powered off"
    systemd-run --on-active="${left}" systemctl poweroff
  else
    systemctl --no-block poweroff
  fi
}

if [ "${1:-work}" = end ]; then
  end
else
  work
fi
