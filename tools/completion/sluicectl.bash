# SPDX-License-Identifier: BSD-2-Clause
# bash completion for sluicectl: it asks the program itself what may stand next.
_sluicectl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} words=() i next
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${#words[@]}${COMP_WORDS[i]} in
		0-c | 0--control | 0--pin-dir) ((i++)) ;;
		0-*) ;;
		*) words+=("${COMP_WORDS[i]}") ;;
		esac
	done
	if [[ $cur == -* ]] && ((${#words[@]} < 2)); then
		next="--json --pretty --control --pin-dir --show-command --version --help"
	else
		next=$(sluicectl --complete "${words[@]}" 2>/dev/null)
		((${#words[@]} >= 2)) || next+=" help"
		# keywords may be written as options
		[[ $cur != --* ]] || next=--${next//$'\n'/ --}
	fi
	mapfile -t COMPREPLY < <(compgen -W "${next//FILE/}" -- "$cur")
	# where a file may stand, FILE is among the words
	[[ $next != *FILE* ]] || mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
}
complete -F _sluicectl sluicectl
