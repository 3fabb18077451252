# shellcheck shell=bash
# For the other scripts here, which source it.

# Waits until the `serve` that runs as process $1 over the directory $2 listens, and has its first
# key; sets `url`. Its log is $2/log, its data directory $2/data.
until_listening() {
  local process=$1 folder=$2
  for _ in $(seq 600); do
    url=$(sed -n 's/.*listening on \(http:[^ ]*\).*/\1/p' "$folder/log" | head -n 1)
    [[ -n $url && -s $folder/data/admin.key ]] && return
    kill -0 "$process" || break
    sleep 0.1
  done
  cat "$folder/log"
  exit 1
}
