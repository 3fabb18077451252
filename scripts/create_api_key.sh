#!/usr/bin/env bash
# Creates an API key straight in the table of a deployed stack, with the AWS credentials at hand:
# the way to the first key, when no admin key exists that could ask the API for another.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: scripts/create_api_key.sh --email ADDRESS [options] [-- further options of `diogenes key create`]

  --email ADDRESS   whom the key belongs to
  --scope SCOPE     inference or admin; may be repeated (default: inference)
  --name TEXT       what it is for
  --stack NAME      the CloudFormation stack (default: DIOGENES_STACK, or diogenes)
  --region REGION   its region (default: AWS_REGION, or the AWS profile's)
  --table NAME      the table, instead of asking the stack for it
  -h, --help        this

The key is printed once, by `diogenes`; only its hash is stored. It needs a Rust toolchain and AWS
credentials, found as the AWS CLI finds them, that may cloudformation:DescribeStacks (not with --table)
and dynamodb:PutItem on the table. The first run compiles `diogenes` with the feature `aws`, for some
minutes; DIOGENES=PROGRAM takes one that has the feature already.

Examples
  scripts/create_api_key.sh --email you@example.com --scope admin --scope inference
  scripts/create_api_key.sh --stack team --region eu-west-1 --email ada@example.com --name laptop
  scripts/create_api_key.sh --email ci@example.com -- --expires-in 30d -o json | jq -r .key

Exit codes: 0 created, 1 it failed (the message says why), 2 wrong usage,
            3 there is neither cargo nor a program named by DIOGENES
USAGE
}

fail() {
  printf 'create_api_key: %s\n' "$2" >&2
  exit "$1"
}

stack=${DIOGENES_STACK:-diogenes}
table=''
email=''
options=()
while (($#)); do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --)
      shift
      options+=("$@")
      break
      ;;
    --email | --scope | --name | --stack | --region | --table)
      (($# >= 2)) || fail 2 "$1 needs a value; see --help"
      case $1 in
        --email) email=$2 ;;
        --scope | --name | --region) options+=("$1" "$2") ;;
        --stack) stack=$2 ;;
        --table) table=$2 ;;
      esac
      shift 2
      ;;
    *) fail 2 "unknown option $1; see --help" ;;
  esac
done
[[ -n $email ]] || fail 2 "--email is missing; see --help"
if [[ -n $table ]]; then where=(--table "$table"); else where=(--stack "$stack"); fi

if [[ -n ${DIOGENES:-} ]]; then
  command -v "$DIOGENES" >/dev/null || fail 3 "DIOGENES names $DIOGENES, which is not an executable"
  diogenes=("$DIOGENES")
else
  command -v cargo >/dev/null || fail 3 "\`cargo\` is missing; install Rust (https://rustup.rs), or name a program with DIOGENES"
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  diogenes=(cargo run --quiet --locked --manifest-path "$root/Cargo.toml" -p diogenes --features aws --)
fi

# Not `exec`: its exit codes are not ours.
"${diogenes[@]}" key create "${where[@]}" --email "$email" "${options[@]}" \
  || fail 1 "\`diogenes key create\` failed; its message is above"
