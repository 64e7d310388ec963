# SPDX-License-Identifier: BSD-2-Clause
# bash completion for sluicectl: it asks the program itself what may stand next.
_sluicectl()
{
	local cur=${COMP_WORDS[COMP_CWORD]} words=() i
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-c | --control | --pin-dir) ((i++)) ;;
		-*) ;;
		*) words+=("${COMP_WORDS[i]}") ;;
		esac
	done
	local next
	if [[ $cur == -* ]]; then
		next="--json --pretty --control --pin-dir --show-command --version --help"
	elif ((${#words[@]} >= 2)); then
		# keywords of the verb: "[worker N] [limit N]" offers worker and limit
		next=$(sluicectl --complete "${words[@]:0:2}" 2>/dev/null | tr -d '[]' | tr ' ' '\n' | grep '^[a-z]')
	else
		next="$(sluicectl --complete "${words[@]}" 2>/dev/null) help"
	fi
	mapfile -t COMPREPLY < <(compgen -W "$next" -- "$cur")
}
complete -F _sluicectl sluicectl
