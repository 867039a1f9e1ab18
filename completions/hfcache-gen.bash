# bash completion for hfcache-gen                                          -*- shell-script -*-
# shellcheck shell=bash

_hfcache_gen_options() {
  case $1 in
    generate | check) echo --out --image --root --clusters --quiet --help ;;
    runners) echo --root --defs --out --template --module --nodepools --image --clusters --help ;;
    config) echo --clusters --root --list --help ;;
    lint) echo --format --strict --root --clusters --help ;;
    enable | disable) echo --dry-run --root --clusters --help ;;
    explain) echo --image --root --clusters --help ;;
  esac
}

_hfcache_gen() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
  local words
  if ((COMP_CWORD == 1)); then
    words="generate check runners config lint enable disable explain help --help --version"
  else
    case $prev in
      --out | --root | --defs | --nodepools | --template | --clusters)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
      --format) words="text json sarif github" ;;
      --image | --module) return ;;
      *)
        if [[ $cur == -* ]]; then
          words=$(_hfcache_gen_options "$command")
        else
          words=$(hfcache-gen config --list 2>/dev/null)
          [[ $command == enable || $command == disable ]] && words+=" hf-cache pypi-cache"
        fi
        ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _hfcache_gen hfcache-gen
