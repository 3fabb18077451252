#!/usr/bin/env bash
# The first checks of a real deployment: from the stack's outputs over a cold answer of a GPU to the
# proof that nothing is left. It spends money (one GPU instance for some minutes) and asks first.
set -euo pipefail
export LC_ALL=C

usage() {
  cat <<'USAGE'
usage: scripts/smoke.sh [options]

  --stack NAME      the CloudFormation stack (default: diogenes, or DIOGENES_STACK)
  --region REGION   its region (default: the AWS CLI's own)
  --key-file FILE   a file with a key of the scopes admin and inference (default: DIOGENES_API_KEY; without
                    either one is created in the table and revoked at the end)
  --key KEY         the key itself, which every user of this machine then sees in the list of processes
  --weights WHERE   what `vllm serve` is given: s3://BUCKET/FOLDER in the stack's WeightsBucket, or a name at
                    Hugging Face, with --in-image or GpuPublicIpv4=true (default: Qwen/Qwen3-0.6B)
  --in-image        the image was built with these weights (`models=` of ami/)
  --type TYPE       the instance type, spot first and then on demand (default: g6.xlarge)
  --spec FILE       a model's spec as JSON, in place of --weights and --type; its idle_timeout should be short
  --boot-timeout S  how long the cold answer may take (default: 800)
  --idle-timeout S  how long the instance may take to be gone once it is idle (default: 900)
  --no-gpu          only what costs nothing: outputs, health, keys, models
  --yes             do not ask
  --output FILE     where the report goes too (default: smoke-STACK-TIME.txt)
  -h, --help        this

It needs the AWS CLI, curl and jq; without a key, also what scripts/create_api_key.sh needs (Rust).
Whatever happens, the model that it registers is deleted at the end, which ends its instance. Weights that
the instance could not reach are an error before anything is launched.

Examples
  scripts/smoke.sh --no-gpu
  scripts/smoke.sh --weights s3://BUCKET/Qwen3-8B
  scripts/smoke.sh --weights Qwen/Qwen3-8B --in-image --type g5.xlarge

Exit codes: 0 all passed, 1 a check failed, 2 wrong usage, 3 a program is missing, 5 not confirmed
USAGE
}

work=''
fail() {
  printf 'smoke: %s\n' "$2" >&2
  [[ -z $work ]] || printf 'stopped: %s\n' "$2" >>"$work/report"
  exit "$1"
}

stack=${DIOGENES_STACK:-diogenes}
region=''
key=${DIOGENES_API_KEY:-}
key_file=''
weights=Qwen/Qwen3-0.6B
in_image=false
type=g6.xlarge
spec_file=''
boot_timeout=800
idle_timeout=900
gpu=true
yes=false
output=''
while (($#)); do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --no-gpu) gpu=false && shift ;;
    --in-image) in_image=true && shift ;;
    --yes) yes=true && shift ;;
    --stack | --region | --key | --key-file | --weights | --type | --spec | --boot-timeout | --idle-timeout | --output)
      (($# >= 2)) || fail 2 "$1 needs a value; see --help"
      case $1 in
        --stack) stack=$2 ;;
        --region) region=$2 ;;
        --key) key=$2 ;;
        --key-file) key_file=$2 ;;
        --weights) weights=$2 ;;
        --type) type=$2 ;;
        --spec) spec_file=$2 ;;
        --boot-timeout) boot_timeout=$2 ;;
        --idle-timeout) idle_timeout=$2 ;;
        --output) output=$2 ;;
      esac
      shift 2
      ;;
    *) fail 2 "unknown option $1; see --help" ;;
  esac
done
for number in "$boot_timeout" "$idle_timeout"; do
  [[ $number =~ ^[1-9][0-9]*$ ]] || fail 2 "$number is not a number of seconds"
done
for program in aws curl jq; do
  command -v "$program" >/dev/null || fail 3 "\`$program\` is missing"
done
if [[ -n $key_file ]]; then
  [[ -r $key_file ]] || fail 2 "$key_file cannot be read"
  read -r key <"$key_file" || true
  [[ -n $key ]] || fail 2 "the first line of $key_file is empty"
fi
if [[ -n $spec_file ]]; then
  jq -e '(.command | type == "array") and (.ladder | type == "array")' "$spec_file" >/dev/null \
    || fail 2 "$spec_file is not a model spec for AWS, which is JSON with \`command\` and \`ladder\`"
  type=$(jq -r '[.ladder[].instance_type] | unique | join(" or ")' "$spec_file")
fi
if [[ -n $region ]]; then
  export AWS_REGION=$region AWS_DEFAULT_REGION=$region
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
output=${output:-smoke-$stack-$(date -u +%Y%m%dT%H%M%SZ).txt}
model=smoke-$(date -u +%H%M%S)
checked=false
registered=false
own_key=''
failed=0

# ── The report ──────────────────────────────────────────────────────────────────────────────────
# It becomes a file of the caller's at the end, and only if something was checked.
tell() { printf '%s\n' "$*" | tee -a "$work/report"; }
row() { printf '%-8s %-34s %s\n' "$1" "$2" "$3" | tee -a "$work/report"; }
passed() { row ok "$1" "${2:-}"; }
missed() {
  row FAILED "$1" "${2:-}"
  failed=1
}
# expect NAME WANTED SEEN
expect() {
  if [[ $2 == "$3" ]]; then passed "$1" "$3"; else missed "$1" "expected ${2:-nothing}, saw ${3:-nothing}"; fi
}

# ── HTTP ────────────────────────────────────────────────────────────────────────────────────────
# The key stands in a file that curl reads, so that no list of processes shows it.
authorization() { printf 'header = "Authorization: Bearer %s"\n' "$1" >"$work/curlrc" && chmod 600 "$work/curlrc"; }
# call METHOD URL [BODY]: prints the status, leaves the body in $work/body
call() {
  local arguments=(-sS --max-time 60 -o "$work/body" -w '%{http_code}' -X "$1" -K "$work/curlrc")
  if (($# > 2)); then
    arguments+=(-H 'Content-Type: application/json' --data-binary "$3")
  fi
  curl "${arguments[@]}" "$2" || printf '000'
}
code() { jq -r '.error.code // empty' "$work/body" 2>/dev/null || true; }

# ── AWS ─────────────────────────────────────────────────────────────────────────────────────────
out() {
  aws cloudformation describe-stacks --stack-name "$stack" --output text \
    --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue | [0]"
}
# An empty value is printed as `None` or as nothing.
parameter() {
  local value
  value=$(aws cloudformation describe-stacks --stack-name "$stack" --output text \
    --query "Stacks[0].Parameters[?ParameterKey=='$1'].ParameterValue | [0]")
  [[ $value == None ]] || printf '%s\n' "$value"
}
# One line, for a message.
inline() { tr '\t\n' ' ' | sed 's/  */ /g; s/ $//'; }
# Ids, types and states of the instances of this deployment that are not gone.
instances() {
  aws ec2 describe-instances --output text \
    --filters "Name=tag:diogenes:deployment,Values=$stack" \
    "Name=instance-state-name,Values=pending,running,shutting-down,stopping,stopped" \
    --query 'Reservations[].Instances[].[InstanceId,InstanceType,InstanceLifecycle,Placement.AvailabilityZone,State.Name]'
}

finish() {
  local status=$?
  trap - EXIT
  if $registered; then
    [[ $(call DELETE "$control/api/v1/models/$model") == 200 ]] \
      || tell "The model $model could not be deleted; do it by hand, or its instance runs until it is idle."
  fi
  if [[ -n $own_key ]]; then
    [[ $(call DELETE "$control/api/v1/keys/$own_key") == 200 ]] || tell "The key $own_key could not be revoked; do it by hand."
  fi
  if ((status == 0 && failed != 0)); then status=1; fi
  if $checked; then
    tell ""
    if ((status == 0)); then tell "All passed."; else tell "Not all passed (exit code $status)."; fi
    if cp "$work/report" "$output"; then printf 'The report is in %s\n' "$output"; fi
  fi
  rm -rf "$work"
  exit "$status"
}
work=$(mktemp -d)
trap finish EXIT
# By itself a signal leaves the code of the last command, and that may be 0.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# ── Outputs ─────────────────────────────────────────────────────────────────────────────────────
url=$(out Url) || fail 1 "stack \`$stack\` cannot be read; check --stack, --region and the credentials"
control=$(out ControlUrl)
tell "Diogenes smoke test of stack $stack, $(date -u +%Y-%m-%dT%H:%M:%SZ)"
tell ""
for pair in "Url=$url" "ControlUrl=$control" "TableName=$(out TableName)" "LaunchTemplateId=$(out LaunchTemplateId)"; do
  if [[ ${pair#*=} =~ ^(None|)$ ]]; then missed "output ${pair%%=*}" "missing"; else passed "output ${pair%%=*}" "${pair#*=}"; fi
done
((failed == 0)) || fail 1 "stack \`$stack\` is not one of Diogenes, or its creation failed"

# ── The model ───────────────────────────────────────────────────────────────────────────────────
# Whether the instance could read the weights; else it would be paid for until it has failed.
reachable() {
  local bucket named=()
  bucket=$(parameter WeightsBucket)
  mapfile -t named < <(jq -r '.command[] | select(startswith("s3://"))' <<<"$spec")
  if ((${#named[@]})); then
    local place found
    for place in "${named[@]}"; do
      [[ -n $bucket ]] \
        || fail 2 "$place cannot be read by the instances: the stack has no WeightsBucket; deploy with WeightsBucket=… first"
      [[ $place == "s3://$bucket/"* ]] \
        || fail 2 "$place cannot be read by the instances: the stack's WeightsBucket is $bucket"
      # 1: nothing is there. Anything else is about the caller's own rights, which say nothing of the instances'.
      found=0
      aws s3 ls "${place%/}/" >/dev/null 2>&1 || found=$?
      ((found != 1)) || fail 2 "nothing is at $place; upload the weights first (ami/README.md)"
    done
    passed "weights" "${named[*]}"
  elif $in_image; then
    passed "weights" "in the image, as --in-image says"
  elif [[ $(parameter GpuPublicIpv4) == true ]]; then
    passed "weights" "by GpuPublicIpv4"
  elif [[ -n $bucket ]]; then
    fail 2 "the instances cannot download weights, as GpuPublicIpv4 is false; give --weights s3://$bucket/FOLDER, or --in-image if the image has them"
  else
    fail 2 "the instances have no way to any weights: deploy with WeightsBucket=BUCKET and give --weights s3://BUCKET/FOLDER; or give --in-image if the image has them; or deploy with GpuPublicIpv4=true"
  fi
}

if [[ -n $spec_file ]]; then
  # Registered under a name of our own, it is still known to its server by the one that it was given.
  spec=$(jq '(.command | index("--served-model-name")) as $at
    | if .upstream_model == null and $at then .upstream_model = .command[$at + 1] else . end
    | del(.aliases)' "$spec_file")
else
  spec=$(jq -n --arg weights "$weights" --arg model "$model" --arg type "$type" --arg region "$(out Region)" \
    --argjson in_image "$in_image" '
    ($weights | startswith("s3://")) as $s3 | {
    command: (["vllm", "serve", $weights, "--served-model-name", $model, "--host", "{host}", "--port", "{port}",
               "--max-model-len", "2048", "--enforce-eager"]
              + (if $s3 then ["--load-format", "runai_streamer"] else [] end)),
    env: (if $s3 then {AWS_DEFAULT_REGION: $region} elif $in_image then {HF_HUB_OFFLINE: "1"} else {} end),
    idle_timeout: "1m", boot_timeout: "13m", max_replicas: 1,
    ladder: [{instance_type: $type, market: "spot"}, {instance_type: $type, market: "on_demand"}]}')
fi
if $gpu; then reachable; fi
checked=true

# ── What costs nothing ──────────────────────────────────────────────────────────────────────────
: >"$work/curlrc"
expect "GET /healthz" 200 "$(call GET "$control/healthz")"
expect "without a key" "401 missing_api_key" "$(call GET "$url/models") $(code)"
authorization "dg_0000000000000000000000000000000000000000000000000"
expect "a wrong key" "401 invalid_api_key" "$(call GET "$url/models") $(code)"

if [[ -z $key ]]; then
  if ! printed=$("$here/create_api_key.sh" --stack "$stack" --email smoke@example.com --name "smoke test" \
    --scope admin --scope inference -- -o json); then
    fail 1 "no key could be created; give one with --key-file"
  fi
  key=$(jq -r .key <<<"$printed")
  own_key=$(jq -r .id <<<"$printed")
  passed "a key was created" "$own_key"
fi
authorization "$key"
expect "GET /v1/models with a key" 200 "$(call GET "$url/models")"
expect "GET /api/v1/cluster" 200 "$(call GET "$control/api/v1/cluster")"
expect "an unknown model" "404 model_not_found" \
  "$(call POST "$url/chat/completions" '{"model":"no-such-model","messages":[]}') $(code)"
if left=$(instances | inline); then expect "no instance before" "" "$left"; else missed "no instance before" "cannot list"; fi
$gpu || exit 0
((failed == 0)) || fail 1 "no instance is launched while something above is wrong"

# ── What costs money ────────────────────────────────────────────────────────────────────────────
if ! $yes; then
  printf 'This launches one GPU instance (%s) for about %s minutes. Go on? [y/N] ' "$type" "$(((boot_timeout + idle_timeout) / 120))"
  read -r answer || answer=''
  [[ $answer == [yY]* ]] || fail 5 "not confirmed; nothing was launched"
fi

status=$(call PUT "$control/api/v1/models/$model" "$spec")
if [[ $status != 201 ]]; then
  missed "register $model" "$status $(cat "$work/body")"
  exit 1
fi
registered=true
passed "register $model" 201

# ask FILE: streams an answer; each line of FILE is the seconds since the request and a line of the body
ask() {
  local start=$EPOCHREALTIME line
  curl -sSN --max-time "$boot_timeout" -K "$work/curlrc" -H 'Content-Type: application/json' \
    --data-binary "{\"model\":\"$model\",\"stream\":true,\"max_tokens\":32,\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}" \
    "$url/chat/completions" 2>"$work/curl.err" | while IFS= read -r line; do
    [[ -n $line ]] && awk -v a="$start" -v b="$EPOCHREALTIME" -v l="$line" 'BEGIN { printf "%.1f %s\n", b - a, l }'
  done >"$1" || true
}
# first FILE PATTERN: the seconds at which a line matching it came
first() { awk -v p="$2" '$0 ~ p { print $1; exit }' "$1"; }
judge() {
  if grep -q 'data: \[DONE\]' "$2" && ! grep -q 'data: {"error"' "$2"; then
    passed "$1 answer" "first event $(first "$2" ' data: ') s, complete $(first "$2" '\\[DONE\\]') s"
  else
    missed "$1 answer" "$(tail -n 1 "$2") $(cat "$work/curl.err")"
  fi
}

ask "$work/cold"
judge cold "$work/cold"
# The first comment of each phase: when it began, seen from the caller.
sed -n 's/^\([0-9.]*\) : diogenes \(.*\)$/\1 \2/p' "$work/cold" | while read -r at json; do
  printf '%s %s\n' "$at" "$(jq -r .phase <<<"$json")"
done | awk '!seen[$2]++ { printf "%s %s\n", $2, $1 }' >"$work/phases"
while read -r phase at; do row "" "  phase $phase" "from $at s"; done <"$work/phases"
if [[ $(wc -l <"$work/phases") -lt 2 ]]; then missed "phases while it boots" "$(tr '\n' ' ' <"$work/phases")"; fi
row "" "instances" "$(instances | inline)"

ask "$work/warm"
judge warm "$work/warm"

started=$SECONDS
while [[ -n $(instances) ]] && ((SECONDS - started < idle_timeout)); do sleep 10; done
left=$(instances)
if [[ -z $left ]]; then
  passed "idle, then terminated" "after $((SECONDS - started)) s"
else
  missed "idle, then terminated" "still there after $idle_timeout s: $(inline <<<"$left")"
fi
volumes=$(aws ec2 describe-volumes --output text --query 'Volumes[].VolumeId' \
  --filters "Name=tag:diogenes:deployment,Values=$stack")
expect "no volume left" "" "$(inline <<<"$volumes")"
