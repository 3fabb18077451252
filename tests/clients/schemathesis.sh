#!/usr/bin/env bash
# Checks the control plane against its own description. It registers commands at random: `serve`
# finds no program to run in its PATH.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/clients/listening.sh
. tests/clients/listening.sh

readonly SCHEMATHESIS="schemathesis==4.32.5"
readonly programs="${CARGO_TARGET_DIR:-$PWD/target}/debug"
readonly env="$PWD/target/clients/schemathesis"
work=$(mktemp -d)
serve=

finish() {
  if [[ -n $serve ]]; then
    kill "$serve" 2>/dev/null || true
    wait "$serve" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT

[[ -x $env/bin/python ]] || python3 -m venv "$env"
"$env/bin/pip" install --quiet --disable-pip-version-check "$SCHEMATHESIS"

touch "$work/diogenes.toml"
env -i HOME="$work" PATH=/nonexistent "$programs/diogenes" serve --listen 127.0.0.1:0 \
  --config "$work/diogenes.toml" --data-dir "$work/data" 2>"$work/log" &
serve=$!
until_listening "$serve" "$work"

# A revoked key can still be seen, which is not a use after free. Schemathesis keeps what it has found below
# the directory it runs in.
config="$PWD/tests/clients/schemathesis.toml"
export SCHEMATHESIS_HOOKS="$PWD/tests/clients/schemathesis_hooks.py"
cd "$work"
"$env/bin/schemathesis" --config-file "$config" run "$url/api/v1/openapi.json" \
  --checks all --exclude-checks use_after_free --seed 1 --max-examples 20 --no-color \
  --header "Authorization: Bearer $(cat "$work/data/admin.key")"
