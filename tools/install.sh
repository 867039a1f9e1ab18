#!/bin/sh
# install.sh INSTALL DIR FILE... -- MODE: installs the files, if there are any.
set -eu
install=$1
dir=$2
shift 2
files=
while [ "$1" != -- ]; do
  files="$files $1"
  shift
done
mode=$2
[ -n "$files" ] || exit 0
# shellcheck disable=SC2086 # names in this repository have no blanks; INSTALL may have options
$install -d "$dir" && $install -m "$mode" $files "$dir"
