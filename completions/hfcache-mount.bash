# bash completion for hfcache-mount                                        -*- shell-script -*-
# shellcheck shell=bash

_hfcache_mount_options() {
  case $1 in
    run) echo --store --cache --cache-size --memory --connections --read-timeout --refresh-interval --scrub-rate --listen --socket --user --orphan-timeout --without --log --config --help ;;
    keep) echo --socket --user --orphan-timeout --without --unmount --log --config --help ;;
    serve) echo --store --cache --cache-size --memory --connections --read-timeout --refresh-interval --scrub-rate --listen --socket --user --standby --log --config --help ;;
    status) echo --json --socket --help ;;
    warm) echo --socket --help ;;
    drop) echo --socket --help ;;
    scrub) echo --detach --socket --help ;;
  esac
}

# The buckets of the clusters that hfcache-gen knows.
_hfcache_mount_buckets() {
  local id
  while read -r id; do
    echo "s3://pytorch-hf-model-cache-$id"
  done < <(hfcache-gen config --list 2>/dev/null)
}

_hfcache_mount() {
  local cur prev command=${COMP_WORDS[1]} words
  # A URL is one word here, whatever readline thinks of its colon.
  if declare -F _get_comp_words_by_ref >/dev/null; then
    _get_comp_words_by_ref -n : cur prev
  else
    cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
  fi
  if ((COMP_CWORD == 1)); then
    words="run keep serve status warm drop scrub help --help --version"
  elif [[ $command == help ]]; then
    words="run keep serve status warm drop scrub"
  else
    case $prev in
      --config)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
      --cache)
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
      --socket)
        if [[ -z $cur ]]; then
          mapfile -t COMPREPLY < <(compgen -G "${HFCACHE_RUNTIME_DIR:-/run/hfcache}/*.sock")
        else
          mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        fi
        return
        ;;
      --store) words="s3:// file:/// $(_hfcache_mount_buckets)" ;;
      --cache-size) words="80% 50% 100Gi 500Gi 1Ti" ;;
      --memory) words="64Mi 128Mi 256Mi 512Mi 1Gi" ;;
      --scrub-rate) words="16Mi 64Mi 256Mi 1Gi" ;;
      --without) words="passthrough readdirplus" ;;
      --log) words="text json" ;;
      --connections | --read-timeout | --refresh-interval | --orphan-timeout | --listen | --user) return ;;
      *)
        if [[ $cur == -* ]]; then
          words=$(_hfcache_mount_options "$command")
        elif [[ $command == run || $command == keep ]]; then
          mapfile -t COMPREPLY < <(compgen -d -- "$cur")
          return
        fi
        ;;
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
  if declare -F __ltrim_colon_completions >/dev/null; then
    __ltrim_colon_completions "$cur"
  fi
}

complete -F _hfcache_mount hfcache-mount
