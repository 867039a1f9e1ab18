#!/bin/bash
# demo.sh GENERATOR REFRESHER MOUNTER FOLDER: generates everything that clusters/ describes, publishes
# a small model from a Hub on this machine into a directory below FOLDER, which is made anew, mounts
# that and loads the model from the mount. No account, no network: the Hub is the tests' own, the
# bucket is a directory.
set -euo pipefail
generator=$1 refresher=$2 mounter=$3 folder=$4
tools=$(cd "$(dirname "$0")" && pwd)
servers=$(cd "$(dirname "$0")/../tests/servers" && pwd)
python=/usr/bin/python3
[[ -x $python ]] || python=python3
hub='' mount='' as_root=()

# Whatever happens, neither Hub nor mount outlives the demo.
cleanup() {
  [[ -z $hub ]] || kill "$hub" 2>/dev/null || true
  [[ -z $mount ]] || "${as_root[@]}" kill "$mount" 2>/dev/null || true
  wait || true
}
trap cleanup EXIT
trap 'exit 130' INT TERM

heading() {
  printf '\n== %s\n' "$*"
}

# Shows a command as one would type it, and runs it.
show() {
  printf '\n$ %s\n' "$*"
  "$@"
}

# Prints nothing and ends the demo if the Hub doesn't come up.
start_hub() {
  local url="$folder/hub-url"
  "$python" "$servers/hub.py" --root "$folder/hub" >"$url" 2>"$folder/hub.log" &
  hub=$!
  until [[ -s $url ]]; do
    kill -0 "$hub" 2>/dev/null || {
      cat "$folder/hub.log" >&2
      echo 'demo: the Hub does not start' >&2
      exit 1
    }
    sleep 0.05
  done
  HF_ENDPOINT=$(<"$url")
  export HF_ENDPOINT
}

# Why there can be no mount here, or nothing.
no_mount() {
  if [[ ! -c /dev/fuse ]]; then
    echo 'this machine has no /dev/fuse'
  elif [[ $(id -u) -ne 0 ]] && ! sudo --non-interactive true 2>/dev/null; then
    echo 'mounting takes root, and there is no password-less sudo'
  fi
}

start_mount() {
  # Not below FOLDER: the worker is another user, who has to get there.
  scratch=$(mktemp -d)
  chmod 755 "$scratch"
  mkdir "$scratch/hf_cache"
  mkdir "$scratch/bucket"
  "$refresher" sync demo-org/tiny-llama --to "file://$scratch/bucket" >"$folder/sync.log" 2>&1
  [[ $(id -u) -eq 0 ]] || as_root=(sudo --non-interactive)
  printf '\n$ %s run --store file://%s --cache %s --memory 64Mi --socket %s %s &\n' "$mounter" \
    "$scratch/bucket" "$scratch/cache" "$scratch/socket" "$scratch/hf_cache"
  "${as_root[@]}" "$mounter" run --store "file://$scratch/bucket" --cache "$scratch/cache" \
    --memory 64Mi --socket "$scratch/socket" "$scratch/hf_cache" 2>"$folder/mount.log" &
  mount=$!
  until "${as_root[@]}" "$mounter" status --socket "$scratch/socket" >/dev/null 2>&1; do
    kill -0 "$mount" 2>/dev/null || {
      cat "$folder/mount.log" >&2
      echo 'demo: the mount does not start' >&2
      exit 1
    }
    sleep 0.1
  done
}

load_model() {
  local client=$tools/../build/venv/bin/python
  if [[ -x $client ]]; then
    HF_HOME=$scratch/hf_cache HF_HUB_OFFLINE=1 "$client" "$tools/demo_load.py" demo-org/tiny-llama
  else
    echo '(huggingface_hub could not be installed, so the files are only summed)'
    (cd "$scratch/hf_cache" && find hub -type f -exec sha256sum {} +)
  fi
}

worker_pid() {
  "${as_root[@]}" "$mounter" status --json --socket "$scratch/socket" | "$python" -c 'import json, sys
print(json.load(sys.stdin)["worker_pid"])'
}

stop_mount() {
  "${as_root[@]}" kill "$mount"
  wait "$mount" || true
  mount=''
  "${as_root[@]}" rm -rf "$scratch"
}

demo_mount() {
  local reason
  heading 'The bucket as a read-only file system'
  reason=$(no_mount)
  if [[ -n $reason ]]; then
    echo "Left out: $reason."
    return
  fi
  start_mount
  echo
  echo 'The real client, offline, with HF_HOME on the mount:'
  load_model
  heading 'The worker is killed; readers only wait for its successor'
  printf '\n$ kill -KILL %s\n' "$(worker_pid)"
  "${as_root[@]}" kill -KILL "$(worker_pid)"
  load_model
  show "${as_root[@]}" "$mounter" status --socket "$scratch/socket"
  stop_mount
}

heading 'The manifests of all clusters in clusters/, from templates/'
show "$generator" generate
echo
find generated -mindepth 1 -maxdepth 1 -type d | sort | while read -r cluster; do
  printf '  %-28s %s files\n' "$cluster" "$(find "$cluster" -type f | wc -l)"
done

heading 'A model from the Hub into a bucket'
rm -rf "$folder"
mkdir -p "$folder"
"$python" "$servers/demo_model.py" "$folder/hub/models/demo-org/tiny-llama"
start_hub
unset HF_TOKEN
mkdir "$folder/bucket"
bucket=file://$(cd "$folder/bucket" && pwd)
cat <<TEXT
demo-org/tiny-llama is a model of five files. A Hub on this machine offers it, $HF_ENDPOINT,
and a directory takes the place of the S3 bucket: no account, no network.
TEXT
show "$refresher" sync demo-org/tiny-llama --to "$bucket"

heading 'The same again: all of it is there, so nothing is sent'
show "$refresher" sync demo-org/tiny-llama --to "$bucket"

heading 'What the bucket holds now'
show "$refresher" list --in "$bucket"
printf '\nIn files, which any Hugging Face program reads with HF_HUB_CACHE=%s:\n' "$folder/bucket/hub"
(cd "$folder/bucket" && find hub -type f | sort | sed 's/^/  /')

demo_mount

cat <<TEXT

== Try next
  $refresher verify --in $bucket
                               reads all of it and compares every hash
  $refresher sync hf-internal-testing/tiny-random-gpt2 --to $bucket
                               the same from the real Hub, if there is a network
  $generator --help
  less \$(find generated -name '*.yaml' | sort | head -n 1)
  edit clusters/clusters.yaml, then: make check && make generate
  make test                    everything that a change must pass (installs the test tools)
TEXT
