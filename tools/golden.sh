#!/bin/bash
# golden.sh: writes tests/golden/ anew from the program in $HFCACHE_GEN. tests/golden/update.sh, or
# update.py, knows which outputs there are.
set -euo pipefail
for script in tests/golden/update.sh tests/golden/update.py; do
  if [[ -e $script ]]; then
    exec "$([[ $script == *.py ]] && echo build/venv/bin/python || echo bash)" "$script"
  fi
done
echo "golden: tests/golden has no update script" >&2
exit 1
