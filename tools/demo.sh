#!/bin/bash
# demo.sh GENERATOR REFRESHER FOLDER: generates everything that clusters/ describes, then publishes
# a small model from a Hub on this machine into a directory below FOLDER, which is made anew.
# No account, no network: the Hub is the tests' own, the bucket is a directory.
set -euo pipefail
generator=$1 refresher=$2 folder=$3
servers=$(cd "$(dirname "$0")/../tests/servers" && pwd)
python=/usr/bin/python3
[[ -x $python ]] || python=python3
hub=

# Whatever happens, the Hub does not outlive the demo.
cleanup() {
  [[ -n $hub ]] || return 0
  kill "$hub" 2>/dev/null || true
  wait "$hub" || true
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
