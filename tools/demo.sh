#!/bin/bash
# demo.sh GENERATOR: generates everything that clusters/ describes and says what to try next.
set -euo pipefail
generator=$1

"$generator" generate
printf '\nGenerated:\n'
find generated -mindepth 1 -maxdepth 1 -type d | sort | while read -r cluster; do
  printf '  %-28s %s files\n' "$cluster" "$(find "$cluster" -type f | wc -l)"
done
cat <<TEXT

Try next:
  $generator --help
  less \$(find generated -name '*.yaml' | sort | head -n 1)
  edit clusters/clusters.yaml, then: make check && make generate
  make test    everything that a change must pass (installs the test tools)
TEXT
