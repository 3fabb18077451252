#!/usr/bin/env bash
# Builds the Docker image `diogenes-localstack:local`, a LocalStack for machines that reach no registry
# of images: a minimal Debian, LocalStack from PyPI, and dynoxide (crates.io) as its DynamoDB.
# DynamoDB, EC2, S3, SQS and EventBridge work; Lambda does not.
#
# Usage: build-image.sh [--force]      as root, with Docker and debootstrap; 1 to 6 minutes
#   --force   builds it even if an image of this recipe is there
set -euo pipefail

readonly IMAGE=diogenes-localstack:local
readonly SUITE=trixie # Python 3.13
readonly LOCALSTACK=2026.3.0
# Packages no newer than that LocalStack: a newer cbor2 breaks it.
readonly NOT_AFTER=2026-04-05
readonly DYNOXIDE=3.2.0
readonly LABEL=dev.diogenes.recipe

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=$(cd "$here/../../.." && pwd)/target/tools
recipe=$(sha256sum "${BASH_SOURCE[0]}" | cut -c1-16)

say() {
  printf 'build-image: %s\n' "$*" >&2
}

fail() {
  say "$@"
  exit 1
}

# Puts dynoxide's path on stdout, and dynoxide there.
dynoxide_path() {
  local found
  for found in "$(type -P dynoxide || true)" "$tools/bin/dynoxide"; do
    if [[ -x "$found" ]]; then
      say "dynoxide is at $found"
      printf '%s\n' "$found"
      return
    fi
  done
  command -v cargo >/dev/null || fail "cargo is missing: install a Rust toolchain, it builds dynoxide"
  say "installing dynoxide $DYNOXIDE with cargo (3 minutes)"
  cargo install --locked --quiet --root "$tools" "dynoxide-rs@$DYNOXIDE" \
    --no-default-features --features native-sqlite,http-server,cli >&2
  printf '%s\n' "$tools/bin/dynoxide"
}

# Runs a command inside the image's file tree.
inside() {
  chroot "$root" /usr/bin/env -i \
    PATH=/opt/localstack/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    HOME=/tmp LANG=C.UTF-8 "${through[@]}" "$@" >&2
}

clean_up() {
  if [[ -n "${work:-}" ]]; then
    for mounted in sys proc; do
      if mountpoint -q "$root/$mounted"; then umount -l "$root/$mounted"; fi
    done
    rm -rf --one-file-system "$work"
  fi
}

built=$(docker image inspect --format "{{index .Config.Labels \"$LABEL\"}}" "$IMAGE" 2>/dev/null || true)
if [[ "$built" == "$recipe" && "${1:-}" != --force ]]; then
  say "$IMAGE is there"
  exit 0
fi
docker info >/dev/null 2>&1 || fail "no Docker engine answers: start one, or set DOCKER_HOST"
command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"
((EUID == 0)) || fail "debootstrap needs root"

dynamodb=$(dynoxide_path)

work=$(mktemp -d "${TMPDIR:-/tmp}/diogenes-localstack.XXXXXX")
root=$work/root
trap clean_up EXIT
trap 'exit 130' INT TERM

# The file tree reaches packages the way this machine does: its mirror, its proxy, its certificates.
through=()
for name in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy \
  PIP_INDEX_URL PIP_EXTRA_INDEX_URL UV_INDEX_URL UV_DEFAULT_INDEX; do
  if [[ -n "${!name:-}" ]]; then through+=("$name=${!name}"); fi
done
mirror=$(grep -rhoE '(https?)://[^ ]+' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null |
  grep -m1 -E '/debian/?$' || true)

say "a minimal Debian ($SUITE)"
if ! debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv \
  "$SUITE" "$root" "${mirror:-https://deb.debian.org/debian}" >"$work/debootstrap.log" 2>&1; then
  tail -n 20 "$work/debootstrap.log" >&2
  fail "debootstrap failed"
fi
mount -t proc proc "$root/proc"
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp /etc/hosts "$root/etc/hosts"
if [[ -s /etc/ssl/certs/ca-certificates.crt ]]; then
  mkdir -p "$root/opt/certificates"
  cp /etc/ssl/certs/ca-certificates.crt "$root/opt/certificates/host.crt"
  through+=(SSL_CERT_FILE=/opt/certificates/host.crt PIP_CERT=/opt/certificates/host.crt)
fi
if [[ -s /etc/pip.conf ]]; then
  cp /etc/pip.conf "$root/etc/pip.conf"
fi

say "LocalStack $LOCALSTACK from PyPI"
inside python3 -m venv /opt/localstack
inside pip install --quiet --disable-pip-version-check uv
inside uv pip install --quiet --no-cache --python /opt/localstack/bin/python \
  --exclude-newer "$NOT_AFTER" "localstack-core[runtime]==$LOCALSTACK"

say "dynoxide in the place of DynamoDB Local"
install -m 0755 "$dynamodb" "$root/usr/local/bin/dynoxide"
# LocalStack starts a `java` with DynamoDB Local's files where it finds these names.
lib=$root/var/lib/localstack/lib
mkdir -p "$lib/dynamodb-local/2" "$lib/java/21/bin"
touch "$lib/dynamodb-local/2/DynamoDBLocal.jar" "$lib/dynamodb-local/2/ddb-local-loader-0.1.jar"
cat >"$lib/java/21/bin/java" <<'JAVA'
#!/bin/sh
# Takes DynamoDB Local's port from its arguments and lets dynoxide listen there.
while [ $# -gt 0 ]; do
  if [ "$1" = -port ]; then
    exec /usr/local/bin/dynoxide --host 127.0.0.1 --port "$2"
  fi
  shift
done
echo "no -port among the arguments" >&2
exit 64
JAVA
chmod 0755 "$lib/java/21/bin/java"
inside dynoxide --version

umount "$root/proc"
# Nothing of this machine, nothing that a container never reads.
rm -rf "$root/opt/certificates" "$root/etc/pip.conf" "$root/var/cache/apt" "$root/var/lib/apt/lists" \
  "$root/usr/share/doc" "$root/usr/share/man" "$root/usr/share/locale" "$root/root/.cache" "$root/tmp"
mkdir -m 1777 "$root/tmp"
: >"$root/etc/resolv.conf"
printf '127.0.0.1 localhost\n' >"$root/etc/hosts"

say "importing it into Docker"
tar -C "$root" -c . | docker import \
  -c 'ENV GATEWAY_LISTEN=0.0.0.0:4566 DISABLE_EVENTS=1 SKIP_SSL_CERT_DOWNLOAD=1 DNS_ADDRESS=0 PATH=/opt/localstack/bin:/usr/local/bin:/usr/bin:/bin' \
  -c 'EXPOSE 4566' \
  -c "LABEL $LABEL=$recipe" \
  -c 'CMD ["python", "-m", "localstack.runtime.main"]' \
  - "$IMAGE" >/dev/null
say "$IMAGE is built ($SECONDS s)"
