# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of leafgate(1) in bash: nouns, verbs, options and their choices come from the program's own
# --help, so that there is nothing here to keep equal. What is none of them is completed as a file name.

# _leafgate PROGRAM CURRENT-WORD PREVIOUS-WORD, as bash calls it.
_leafgate() {
  local program=$1 current=$2 previous=$3 word help words='' named=()
  # Noun and verb come first; the program itself passes over what else is before --help.
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word != -* && ${#named[@]} -lt 2 ]] || break
    named+=("$word")
  done
  help=$("$program" "${named[@]}" --help 2>/dev/null) || return

  if [[ $previous == --* ]] && words=$(_leafgate_value "$previous" <<<"$help") && [[ -n $words ]]; then
    words=${words#VALUE}
  elif [[ $current == -* ]]; then
    words=$(sed -nE 's/^  (-h,)?(--[a-z-]+).*/\2/p' <<<"$help")
  else
    words=$(sed -n '/^Subcommands:/,/^$/s/^  \([a-z-]*\) .*/\1/p' <<<"$help")
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

# _leafgate_value OPTION <HELP: `VALUE` and the choices when the option takes a value, else nothing.
_leafgate_value() {
  sed -nE "s/^  $1 [A-Z]+(=[A-Z]+)?(:\{([a-z,]*)\})?( .*)?$/VALUE \3/p" | tr ',' ' '
}

complete -o default -F _leafgate leafgate
