# bash completion for hfcache-refresh                                      -*- shell-script -*-
# shellcheck shell=bash

_hfcache_refresh_options() {
  case $1 in
    sync) echo --models --to --cluster --all-clusters --prune --dry-run --jobs --memory --lock-wait --report --listen --push --quiet --verbose --help ;;
    verify) echo --in --json --jobs --memory --help ;;
    list) echo --in --json --memory --help ;;
    gc) echo --in --keep --unreferenced --dry-run --yes --lock-wait --memory --help ;;
  esac
}

# The buckets of the clusters that hfcache-gen knows.
_hfcache_refresh_buckets() {
  local id
  while read -r id; do
    echo "s3://pytorch-hf-model-cache-$id"
  done < <(hfcache-gen config --list 2>/dev/null)
}

_hfcache_refresh() {
  local cur prev command=${COMP_WORDS[1]} words
  # A URL is one word here, whatever readline thinks of its colon.
  if declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n : cur prev
  else
    cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  fi
  if ((COMP_CWORD == 1)); then
    words="sync verify list gc help --help --version"
  elif [[ $command == help ]]; then
    words="sync verify list gc"
  else
    case $prev in
      --models | --report)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
      --cluster) words=$(hfcache-gen config --list 2>/dev/null) ;;
      --to | --in) words="s3:// file:/// $(_hfcache_refresh_buckets)" ;;
      --memory) words="64Mi 128Mi 256Mi 512Mi 1Gi" ;;
      --jobs | --lock-wait | --listen | --push | --keep) return ;;
      *) [[ $cur == -* ]] && words=$(_hfcache_refresh_options "$command") ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  if declare -F __ltrim_colon_completions >/dev/null; then
    __ltrim_colon_completions "$cur"
  fi
}

complete -F _hfcache_refresh hfcache-refresh
