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
  --stack NAME      the CloudFormation stack (default: diogenes, or DIOGENES_STACK)
  --region REGION   its region (default: the AWS CLI's own)
  --table NAME      the table, instead of asking the stack for it
  -h, --help        this

The key is printed once, by `diogenes`; only its hash is stored. It needs the AWS CLI, the command
`diogenes` (on PATH or in target/release) and credentials that may cloudformation:DescribeStacks and
dynamodb:PutItem on the table.

Examples
  scripts/create_api_key.sh --email you@example.com --scope admin --scope inference
  scripts/create_api_key.sh --stack team --region eu-west-1 --email ada@example.com --name laptop

Exit codes: 0 created, 1 it failed (the message says why), 2 wrong usage,
            3 a program is missing, 4 no such stack, or it has no table
USAGE
}

fail() {
  printf 'create_api_key: %s\n' "$2" >&2
  exit "$1"
}

stack=${DIOGENES_STACK:-diogenes}
region=''
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
        --scope | --name) options+=("$1" "$2") ;;
        --stack) stack=$2 ;;
        --region) region=$2 ;;
        --table) table=$2 ;;
      esac
      shift 2
      ;;
    *) fail 2 "unknown option $1; see --help" ;;
  esac
done
[[ -n $email ]] || fail 2 "--email is missing; see --help"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if command -v diogenes >/dev/null; then
  diogenes=diogenes
elif [[ -x $root/target/release/diogenes ]]; then
  diogenes=$root/target/release/diogenes
else
  fail 3 "no command \`diogenes\`; build it with: cargo build --release --locked -p diogenes"
fi

if [[ -n $region ]]; then
  export AWS_REGION=$region AWS_DEFAULT_REGION=$region
fi
if [[ -z $table ]]; then
  command -v aws >/dev/null || fail 3 "the AWS CLI is missing; install it, or name the table with --table"
  if ! table=$(aws cloudformation describe-stacks --stack-name "$stack" --output text \
    --query "Stacks[0].Outputs[?OutputKey=='TableName'].OutputValue | [0]"); then
    fail 4 "stack \`$stack\` cannot be read; check --stack, --region and the credentials"
  fi
  [[ -n $table && $table != None ]] || fail 4 "stack \`$stack\` has no output TableName; is it one of Diogenes?"
fi

# Not `exec`: its exit codes are not ours.
"$diogenes" key create --table "$table" --email "$email" "${options[@]}" \
  || fail 1 "\`diogenes key create\` failed; its message is above"
