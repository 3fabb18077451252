#!/usr/bin/env bash
# Drives `diogenes serve`, and the functions on an emulated AWS, with the official clients of OpenAI
# and Anthropic and with LangChain, installed into a throw-away environment below target/clients.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=tests/clients/listening.sh
. tests/clients/listening.sh

# docs/CLIENTS.md names the same versions.
readonly OPENAI_PYTHON="openai==3.57.0"
readonly OPENAI_NODE="openai@7.57.0"
readonly ANTHROPIC_PYTHON="anthropic==2.14.0"
readonly ANTHROPIC_NODE="@anthropic-ai/sdk@1.14.0"
readonly LANGCHAIN="langchain-openai==1.7.4"
readonly programs="${CARGO_TARGET_DIR:-$PWD/target}/debug"
readonly env="$PWD/target/clients"
work=$(mktemp -d)
serve=
aws=

finish() {
  local server
  for server in $serve $aws; do
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  done
  rm -rf "$work"
}
trap finish EXIT

mkdir -p "$env"
if [[ ! -x $env/venv/bin/python ]]; then
  python3 -m venv "$env/venv"
fi
"$env/venv/bin/pip" install --quiet --disable-pip-version-check "$OPENAI_PYTHON" "$ANTHROPIC_PYTHON" "$LANGCHAIN"
npm install --silent --no-audit --no-fund --prefix "$env/node" "$OPENAI_NODE" "$ANTHROPIC_NODE"

# A model for each cold start that a client sees; `-py`, `-js`, `-an` and `-aj` have one each.
model() {
  local name=$1
  shift
  local flags=""
  for flag in "$@"; do flags+=", \"$flag\""; done
  printf '[models.%s]\ncommand = ["%s", "--host", "{host}", "--port", "{port}", "--served-model-name", "%s", "--quiet"%s]\n' \
    "$name" "$programs/mock-vllm" "$name" "$flags"
}
{
  for client in py js an aj; do
    model "stream-$client" --load-weights-delay 700ms
    model "plain-$client" --load-weights-delay 700ms
    model "reject-$client" --load-weights-delay 700ms
    echo 'cold_start = "reject"'
    model "flaky-$client" --fail-first 1 --fail-status 503
    model "cut-$client" --cut-after 3
    model "broken-$client" --exit-during-boot 3
    model "batch-$client" --load-weights-delay 700ms
  done
  model plain-lc --load-weights-delay 700ms
  model stream-lc --load-weights-delay 700ms
  model events-lc --load-weights-delay 5s
  echo 'hold_event_interval = "500ms"'
  model comments-lc --load-weights-delay 5s
  echo 'hold_event_interval = "0s"'
} >"$work/diogenes.toml"

"$programs/diogenes" serve --listen 127.0.0.1:0 --config "$work/diogenes.toml" --data-dir "$work/data" \
  2>"$work/log" &
serve=$!
until_listening "$serve" "$work"
OPENAI_BASE_URL="$url/v1"
OPENAI_API_KEY=$(cat "$work/data/admin.key")
export OPENAI_BASE_URL OPENAI_API_KEY
# Anthropic's client adds `/v1` itself.
export ANTHROPIC_BASE_URL="$url" ANTHROPIC_API_KEY="$OPENAI_API_KEY"

trouble() {
  echo "the log of the server:"
  cat "$work/log"
  exit 1
}
"$env/venv/bin/python" tests/clients/openai_python.py || trouble
"$env/venv/bin/python" tests/clients/anthropic_python.py || trouble
"$env/venv/bin/python" tests/clients/langchain_python.py || trouble
cp tests/clients/openai_node.mjs tests/clients/anthropic_node.mjs "$env/node/"
(cd "$env/node" && node --test openai_node.mjs anthropic_node.mjs) || trouble

if [[ ${DIOGENES_E2E:-} == skip ]]; then
  echo "skipped: DIOGENES_E2E=skip leaves the emulated AWS out"
  exit 0
fi
"$programs/emulated-aws" "$work/diogenes.toml" >"$work/aws" 2>"$work/log" &
aws=$!
for _ in $(seq 1200); do
  grep -q ^OPENAI_API_KEY= "$work/aws" && break
  kill -0 "$aws" || trouble
  sleep 0.1
done
OPENAI_BASE_URL=$(sed -n 's/^OPENAI_BASE_URL=//p' "$work/aws")
OPENAI_API_KEY=$(sed -n 's/^OPENAI_API_KEY=//p' "$work/aws")
echo "on an emulated AWS:"
"$env/venv/bin/python" tests/clients/openai_python.py || trouble
