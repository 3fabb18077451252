#!/usr/bin/env bash
# Installs the gateways that `make bench-peers` measures `serve` against, each in a folder of its own outside
# the checkout. Versions are pinned: figures name them, and a newer one is installed on purpose.
set -euo pipefail
export LC_ALL=C

usage() {
  cat <<'USAGE'
usage: scripts/bench_peers.sh FOLDER [NAME…]

Installs gateways below FOLDER, all or those named, from PyPI, npm and crates.io: vllm-router, switchyard,
tensorzero, portkey, litellm. What is there in the right version is left alone. FOLDER/NAME.log tells what an
installer said.

Needs python3 with venv, node and npm (portkey), cargo (switchyard, which is compiled in some minutes). nginx
and wrk, which the benchmark needs too, come from Debian: apt-get install nginx-light wrk util-linux.

Examples
  scripts/bench_peers.sh ~/.cache/diogenes-bench
  scripts/bench_peers.sh ~/.cache/diogenes-bench litellm portkey

Exit codes: 0 done, though without names some may not have installed; 1 one that was named did not install;
2 wrong usage
USAGE
}

readonly names=(vllm-router switchyard tensorzero portkey litellm)

version() {
  case "$1" in
    vllm-router) echo 0.1.17 ;;
    switchyard) echo 0.3.0 ;;
    tensorzero) echo 2026.6.0 ;;
    portkey) echo 1.15.2 ;;
    # Newer ones name parts that PyPI does not have yet.
    litellm) echo 1.106.12 ;;
    *) return 1 ;;
  esac
}

from_pypi() {
  local place=$1 package=$2
  python3 -m venv "$place"
  # Wheels only: nothing of a package runs while it is installed.
  "$place/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: "$package"
}

from_npm() {
  local place=$1 package=$2 wanted=$3
  # Newer ones of @hono/node-server, which Portkey would take, break its streams.
  echo "{\"private\": true, \"overrides\": {\"@hono/node-server\": \"1.13.5\"}}" >"$place/package.json"
  npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$place" "$package@$wanted"
}

install() {
  local name=$1 place=$2 wanted=$3
  case "$name" in
    vllm-router) from_pypi "$place" "vllm-router==$wanted" ;;
    tensorzero) from_pypi "$place" "tensorzero==$wanted" ;;
    litellm) from_pypi "$place" "litellm[proxy]==$wanted" ;;
    portkey) from_npm "$place" "@portkey-ai/gateway" "$wanted" ;;
    # It asks for a newer compiler than this repository pins, but compiles with it.
    switchyard) cargo install --quiet --locked --ignore-rust-version --root "$place" \
      --target-dir "$place/target" "switchyard-server@$wanted" && rm -rf "$place/target" ;;
  esac
}

if (($# == 0)); then
  usage >&2
  exit 2
fi
case "$1" in
  -h | --help)
    usage
    exit 0
    ;;
  -*)
    echo "scripts/bench_peers.sh: \`$1\` is not an option; see --help" >&2
    exit 2
    ;;
esac
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
chosen=("${names[@]}")
(($# == 0)) || chosen=("$@")

failed=()
for name in "${chosen[@]}"; do
  wanted=$(version "$name") || {
    echo "scripts/bench_peers.sh: \`$name\` is not a peer; use ${names[*]}" >&2
    exit 2
  }
  place=$folder/$name
  if [[ "$(cat "$place/version" 2>/dev/null)" == "$wanted" ]]; then
    echo "$name $wanted: installed"
    continue
  fi
  echo "$name $wanted: installing"
  rm -rf "$place"
  mkdir -p "$place"
  # In a shell of its own: there `set -e` counts, which it does not behind `if`.
  set +e
  (
    set -e
    install "$name" "$place" "$wanted"
  ) >"$folder/$name.log" 2>&1
  status=$?
  set -e
  if ((status == 0)); then
    echo "$wanted" >"$place/version"
  else
    failed+=("$name")
    echo "$name $wanted: did not install; see $folder/$name.log" >&2
    tail -n 3 "$folder/$name.log" >&2
  fi
done
if ((${#failed[@]} && $#)); then
  exit 1
fi
