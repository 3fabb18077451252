#!/usr/bin/env bash
# Makes a GPU instance's image of a fresh Ubuntu 24.04 machine: driver, vLLM, the agent, its units.
# May be run again: every step looks first at what is there. See README.md beside it.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: sudo [VARIABLES] setup.sh STEP…

Steps
  base       packages, the engine's account, what a server on EC2 does not need, no way in by SSH
  driver     NVIDIA's driver, built and signed by Ubuntu for its kernel
  engine     vLLM in a virtual environment
  agent      diogenes-agent and its systemd units
  weights    download the models in MODELS into the image
  warm       start each model in MODELS once, so that its compile cache is in the image; needs a GPU
             (and the driver loaded: reboot after `driver`)
  check      look whether everything is where it belongs
  clean      remove logs, histories and keys of the build; the last step before the image is taken
  all        base, driver, engine, agent, weights, check

Variables
  VLLM_VERSION     default 0.33.0
  NVIDIA_DRIVER    series of the driver, default 580
  AGENT            the program diogenes-agent for x86_64, default ./diogenes-agent
  FILES            folder with the units, default `files` beside this script
  LAST_RESORT      after so long the instance ends itself whatever happens, default 25h:
                   above the template's GpuMaxLifetimeHours
  MODELS           models to bake, as Hugging Face names them, separated by spaces
  HF_TOKEN         for models that want one; it does not stay in the image
  WARM_ARGUMENTS   further arguments of `vllm serve` for `warm`; the cache fits only the same arguments

Exit codes: 0 done, 1 a step failed, 2 wrong usage
USAGE
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VLLM_VERSION=${VLLM_VERSION:-0.33.0}
NVIDIA_DRIVER=${NVIDIA_DRIVER:-580}
AGENT=${AGENT:-./diogenes-agent}
FILES=${FILES:-$here/files}
LAST_RESORT=${LAST_RESORT:-25h}
MODELS=${MODELS:-}
WARM_ARGUMENTS=${WARM_ARGUMENTS:-}

venv=/opt/diogenes/venv
state=/var/lib/diogenes
# Who runs the inference server; the unit of the agent names it too.
engine_user=diogenes-engine
export DEBIAN_FRONTEND=noninteractive
# As the unit sets them, so that what is baked is found.
export HF_HOME=$state/huggingface VLLM_CACHE_ROOT=$state/vllm TRITON_CACHE_DIR=$state/triton

say() { printf 'setup: %s\n' "$*"; }
die() {
  printf 'setup: %s\n' "$*" >&2
  exit 1
}

# cloud-init and apt's own timers hold apt's lock for a while after the first boot.
apt_get() { apt-get -qq -o DPkg::Lock::Timeout=300 "$@"; }
install_packages() { apt_get install -y --no-install-recommends "$@" >/dev/null; }
# By itself apt takes an index that it cannot reach for a warning, and what is in it for unknown.
read_index() {
  apt_get -o APT::Update::Error-Mode=any update \
    || die "the package index could not be read (apt's message is above); has the machine a way to the internet?"
}
packaged() { apt-cache show "$1" >/dev/null 2>&1; }

base() {
  say "packages"
  cloud-init status --wait >/dev/null 2>&1 || true
  read_index
  # A compiler and Python's headers: Triton compiles a launcher at the first start.
  install_packages ca-certificates curl gcc libc6-dev python3-venv python3-dev
  if ! id "$engine_user" >/dev/null 2>&1; then
    say "the account $engine_user"
    useradd --system --user-group --home-dir "$state" --no-create-home --shell /usr/sbin/nologin "$engine_user"
  fi
  say "nothing that updates, indexes or reports while a model boots"
  systemctl disable -q apt-daily.timer apt-daily-upgrade.timer man-db.timer motd-news.timer \
    fwupd-refresh.timer unattended-upgrades.service 2>/dev/null || true
  if dpkg -s snapd >/dev/null 2>&1; then
    apt_get purge -y snapd >/dev/null
  fi
  say "no way in by SSH after the next boot"
  systemctl disable -q ssh.service ssh.socket 2>/dev/null || true
}

driver() {
  local series=$NVIDIA_DRIVER-server
  local modules=linux-modules-nvidia-$series-open-aws
  say "NVIDIA's driver $series"
  packaged "$modules" || read_index
  packaged "$modules" || die "series $series is not packaged; see: apt-cache search nvidia-headless-no-dkms"
  # The modules come compiled and signed for this kernel, so nothing is compiled at boot. Both sides
  # must come from the same series or nothing talks to the GPU.
  install_packages "$modules" "nvidia-headless-no-dkms-$series-open" \
    "nvidia-utils-$series" "nvidia-compute-utils-$series" nvidia-modprobe \
    || die "the packages of series $series could not be installed; apt's message is above"
  # Keeps the GPU initialised: the engine starts some seconds sooner.
  systemctl enable -q nvidia-persistenced.service 2>/dev/null || true
  # Ubuntu would take a newer kernel at the next update and the modules with it; images do not update.
  apt-mark hold linux-aws linux-image-aws linux-headers-aws >/dev/null 2>&1 || true
}

engine() {
  # Written last, so it is also the mark of an installation that came to its end.
  local versions=${venv%/*}/requirements.txt
  if [[ -x $venv/bin/vllm ]] && grep -qsx "vllm==$VLLM_VERSION" "$versions"; then
    say "vLLM $VLLM_VERSION is there"
    return
  fi
  say "vLLM $VLLM_VERSION (some GiB)"
  mkdir -p "${venv%/*}"
  rm -f "$versions"
  [[ -x $venv/bin/pip ]] || python3 -m venv --clear "$venv"
  # `runai` is the streamer that reads weights from S3 straight into the GPU.
  "$venv/bin/pip" install --quiet --no-cache-dir "vllm[runai]==$VLLM_VERSION"
  say "compile Python's files ahead of the first start"
  "$venv/bin/python" -m compileall -q -j 0 "$venv/lib" >/dev/null 2>&1 || true
  # What exactly was installed, for whoever wants to build the same image again.
  "$venv/bin/pip" freeze >"$versions.new"
  mv "$versions.new" "$versions"
}

# Weights and caches are the engine's, whichever step of root has written them.
own_state() {
  install -d -m 0755 "$state"
  chown -R "$engine_user:$engine_user" "$state"
}

agent() {
  [[ $LAST_RESORT =~ ^[1-9][0-9]*(s|m|min|h|d)$ ]] || die "LAST_RESORT=$LAST_RESORT is not a duration such as 25h"
  [[ -f $AGENT ]] || die "no agent at $AGENT; build it with: cargo build --release --locked -p diogenes-agent"
  say "the agent and its units"
  install -D -m 0755 "$AGENT" /usr/local/bin/diogenes-agent
  install -d -m 0755 /etc/diogenes
  # It may have tokens for the engine; the agent reads it as root.
  if [[ -f /etc/diogenes/agent.env ]]; then
    chmod 0600 /etc/diogenes/agent.env
  fi
  own_state
  install -m 0644 "$FILES/diogenes-agent.service" "$FILES/diogenes-max-lifetime.service" /etc/systemd/system/
  sed "s/@LAST_RESORT@/$LAST_RESORT/" "$FILES/diogenes-max-lifetime.timer" >/etc/systemd/system/diogenes-max-lifetime.timer
  # Enabled, not started: the machine that builds the image must not end itself for want of a lease.
  systemctl daemon-reload
  systemctl enable -q diogenes-agent.service diogenes-max-lifetime.timer
}

weights() {
  local model
  for model in $MODELS; do
    say "weights of $model"
    "$venv/bin/hf" download --quiet "$model" >/dev/null
  done
  # The token is an environment variable of this run; make sure that no tool has kept it.
  rm -f "$HF_HOME/token" "$HF_HOME/stored_tokens"
  own_state
}

# The server that `warm` has started, if any.
warming=''
end_warming() {
  [[ -n $warming ]] || return 0
  kill "$warming" 2>/dev/null || true
  local waited
  for ((waited = 0; waited < 60; waited++)); do
    kill -0 "$warming" 2>/dev/null || break
    sleep 1
  done
  kill -KILL "$warming" 2>/dev/null || true
  wait "$warming" 2>/dev/null || true
  warming=''
}

warm() {
  local model port=18000 deadline extra
  nvidia-smi >/dev/null 2>&1 || die "no GPU is at work here; warm needs the instance type that shall serve, and a reboot after driver"
  read -ra extra <<<"$WARM_ARGUMENTS"
  # Whatever ends this script must not leave a server that holds the GPU.
  trap end_warming EXIT
  for model in $MODELS; do
    say "first start of $model"
    HF_HUB_OFFLINE=1 "$venv/bin/vllm" serve "$model" --host 127.0.0.1 --port "$port" "${extra[@]}" \
      >/var/log/diogenes-warm.log 2>&1 &
    warming=$!
    deadline=$((SECONDS + 1800))
    until curl -fsS -o /dev/null "http://127.0.0.1:$port/health" 2>/dev/null; do
      kill -0 "$warming" 2>/dev/null || die "$model did not start: $(tail -n 5 /var/log/diogenes-warm.log)"
      ((SECONDS < deadline)) || die "$model was not ready after 30 minutes"
      sleep 2
    done
    end_warming
  done
  rm -f /var/log/diogenes-warm.log
  own_state
}

owns_state() {
  [[ $(stat -c %U "$state") == "$engine_user" && -z $(find "$state" ! -user "$engine_user" -print -quit) ]]
}

check() {
  local failed=0
  expect() {
    if "${@:2}" >/dev/null 2>&1; then
      say "ok      $1"
    else
      say "MISSING $1"
      failed=1
    fi
  }
  expect "the agent runs" /usr/local/bin/diogenes-agent --help
  expect "the agent starts at boot" systemctl is-enabled diogenes-agent.service
  expect "the last resort is armed at boot" systemctl is-enabled diogenes-max-lifetime.timer
  expect "its units are sound" systemd-analyze verify /etc/systemd/system/diogenes-agent.service \
    /etc/systemd/system/diogenes-max-lifetime.timer
  expect "vLLM $VLLM_VERSION" grep -qx "vllm==$VLLM_VERSION" "${venv%/*}/requirements.txt"
  expect "vLLM can be started" test -x "$venv/bin/vllm"
  expect "nvidia-smi" command -v nvidia-smi
  expect "nvidia-modprobe" test -x /usr/bin/nvidia-modprobe
  expect "the account $engine_user owns $state" owns_state
  local model
  for model in $MODELS; do
    expect "weights of $model" test -d "$HF_HOME/hub/models--${model//\//--}"
  done
  ((failed == 0)) || die "the image is not complete"
}

# What the build wrote of itself: sudo's command lines, addresses, who logged in.
clean() {
  say "nothing of the build's logs, histories and keys"
  apt_get clean
  cloud-init clean --logs --machine-id
  rm -rf /var/log/journal/*
  find /var/log -type f \( -name '*.gz' -o -name '*.[0-9]' \) -delete
  # Not deleted: their writers hold them open, and expect them.
  find /var/log -type f -exec truncate -s 0 {} +
  rm -rf /root/.cache /home/*/.cache /var/lib/apt/lists/*
  rm -f /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys
  rm -f /root/.*_history /home/*/.*_history /root/.lesshst /home/*/.lesshst /root/.wget-hsts /home/*/.wget-hsts
}

steps=()
for step in "$@"; do
  case $step in
    -h | --help) usage && exit 0 ;;
    all) steps+=(base driver engine agent weights check) ;;
    base | driver | engine | agent | weights | warm | check | clean) steps+=("$step") ;;
    *)
      printf "setup: there is no step '%s'; see: setup.sh --help\n" "$step" >&2
      exit 2
      ;;
  esac
done
if ((${#steps[@]} == 0)); then
  usage >&2
  exit 2
fi
((EUID == 0)) || die "must run as root"
for step in "${steps[@]}"; do
  "$step"
done
say "done: ${steps[*]}"
