#!/usr/bin/env bash
# Asks SciPy and statsmodels again, in an environment of their own below target/oracle, and fails if their
# answers are not those of the file that the tests of `core` read. With `--write`, writes that file.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly env="$PWD/target/oracle"
readonly answers=core/src/evals/stats/tests/oracle.json

if [[ ! -x $env/bin/python ]]; then
  python3 -m venv "$env"
fi
"$env/bin/pip" install --quiet --disable-pip-version-check --requirement tests/oracle/requirements.txt
case "${1:-}" in
  "") "$env/bin/python" tests/oracle/generate.py --check "$answers" ;;
  --write) "$env/bin/python" tests/oracle/generate.py "$answers" ;;
  *) echo "usage: $0 [--write]" >&2 && exit 2 ;;
esac
