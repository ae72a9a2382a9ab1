# SPDX-License-Identifier: GPL-2.0
#
# bash completion for layout-lease(1); installed as
# share/bash-completion/completions/layout-lease, or source it. It works without
# the bash-completion package, with which it also completes the arguments of the
# command that is run.

_layout_lease_files()
{
	compopt -o filenames 2>/dev/null
	mapfile -t COMPREPLY < <(compgen -f -- "$1")
}

_layout_lease_pids()
{
	local path
	local -a pids=()

	for path in /proc/[0-9]*; do
		pids+=("${path#/proc/}")
	done
	mapfile -t COMPREPLY < <(compgen -W "${pids[*]}" -- "$1")
}

# The command after "run ... --" is completed as if it stood alone.
_layout_lease_command()
{
	local offset=$1

	if declare -F _command_offset >/dev/null; then
		_command_offset "$offset"
	elif [ "$COMP_CWORD" = "$offset" ]; then
		mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
	else
		_layout_lease_files "${COMP_WORDS[COMP_CWORD]}"
	fi
}

_layout_lease_run()
{
	local i

	for ((i = 2; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--)
			_layout_lease_command $((i + 1))
			return ;;
		--file|-f)
			# "--file=NAME" is three words to readline
			[ "${COMP_WORDS[i + 1]}" != = ] || i=$((i + 1))
			i=$((i + 1)) ;;
		-*) ;;
		*)
			_layout_lease_command "$i"
			return ;;
		esac
	done
	mapfile -t COMPREPLY < <(compgen -W "--file --help --" -- "$2")
}

_layout_lease()
{
	local command=$1 word=$2 previous=$3 verb=${COMP_WORDS[1]}
	local options

	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		mapfile -t COMPREPLY < <(compgen -W \
			"run pins breaks watch revoke explain --help --version" -- "$word")
		return
	fi
	# "--file=NAME"
	[ "$word" != = ] || word=
	[ "$previous" != = ] || previous=${COMP_WORDS[COMP_CWORD - 2]}
	[ "${COMP_WORDS[COMP_CWORD]}" != = ] || previous=${COMP_WORDS[COMP_CWORD - 1]}

	case $verb in
	run) options= ;;
	pins) options="--file --pid --json --help" ;;
	breaks|watch) options="--file --json --help" ;;
	revoke) options="--pid --file --timeout --help" ;;
	explain)
		# the command knows the names
		mapfile -t COMPREPLY < <(compgen -W "--help $("$command" explain 2>/dev/null |
			awk '{ print $1 }')" -- "${word^^}")
		[ "${word#-}" = "$word" ] ||
			mapfile -t COMPREPLY < <(compgen -W --help -- "$word")
		return ;;
	*)
		return ;;
	esac
	case $previous in
	--file|-f)
		# behind "--" it is an option of the command
		if [ "$verb" != run ] || [[ " ${COMP_WORDS[*]:2:COMP_CWORD-2} " != *" -- "* ]]; then
			_layout_lease_files "$word"
			return
		fi ;;
	--pid|-p)
		if [ "$verb" = pins ] || [ "$verb" = revoke ]; then
			_layout_lease_pids "$word"
			return
		fi ;;
	--timeout|-t)
		[ "$verb" != revoke ] || return ;;
	esac
	if [ "$verb" = run ]; then
		_layout_lease_run "$command" "$word"
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
}

complete -F _layout_lease layout-lease
