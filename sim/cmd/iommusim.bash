# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# bash completion of iommusim. Commands, options and what they take are asked of the program itself, which answers in
# milliseconds: nothing here is to be kept up to date.

# Prints the commands, a line each.
_iommusim_commands()
{
	"$program" --help 2>/dev/null |
		sed -n '/^Commands:/,/^Options:/s/^  \([a-z]*\( [a-z][a-z]*\)\{0,1\}\)  .*/\1/p'
}

# Prints the options of the command "$@", a line each: "-o --output=DIR", without a short one "--output=DIR".
_iommusim_options()
{
	"$program" "$@" --help 2>/dev/null |
		sed -n 's/^  \(-[a-zA-Z]\), \(--[^ ]*\).*/\1 \2/p; s/^  \(--[^ ]*\).*/\1/p'
}

# Prints what OPTION $1 takes, as its help has it: "MACHINE.ini". Options are on standard input.
_iommusim_takes()
{
	local words word

	while IFS=' ' read -ra words; do
		for word in "${words[@]}"; do
			[[ ${word%%=*} == "$1" && ${words[-1]} == *=* ]] && echo "${words[-1]#*=}"
		done
	done
}

# Prints the keys of the machine file that begin with $1, and where $1 has a "=" the values of its key.
_iommusim_keys()
{
	[[ $1 == *[^a-z0-9.=-]* ]] && return
	if [[ $1 == *=* ]]; then
		"$program" machine show 2>/dev/null |
			sed -n "s/^${1%%=*} .* one of //p" | tr -d ' ' | tr ',' '\n' | sed "s/^/${1%%=*}=/"
	else
		"$program" machine show 2>/dev/null | sed -n 's/^\([a-z]*\.[^ ]*\) .*/\1=/p'
	fi
}

# Prints the sets of behaviours that begin with $1, NAME=VALUE,...: only the last of them is open.
_iommusim_sets()
{
	local before= last=${1##*,}

	[[ $1 == *[^a-z0-9.,=-]* ]] && return
	[[ $1 == *,* ]] && before=${1%,*},
	if [[ $last == version=* ]]; then
		_iommusim_keys kernel.version= | sed "s/^kernel\\./$before/"
	else
		_iommusim_keys "behaviour.$last" | sed -n "s/^behaviour\\./$before/p"
		echo "${before}version="
	fi
}

_iommusim_points()
{
	"$program" faults points 2>/dev/null | sed -n "s/^\([a-z]*\.[^ ]*\) .*/\1$1/p"
}

# Prints the files that may be what the help calls $1 and begin with $2.
_iommusim_files()
{
	local only='*'

	case $1 in
	*.ini*) only='*.ini' ;;
	*.dtb*) only='*.dtb*' ;;
	*SNAP* | *.snap*) only='*.snap*' ;;
	esac
	[[ $1 == DIR ]] || compgen -f -X "!$only" -- "$2"
	compgen -d -- "$2"
}

# Prints what may stand for $2, the value of an option, or an argument, that the help calls $1. $3 is the option.
_iommusim_values()
{
	case $1 in
	GROUP.KEY=VALUE) _iommusim_keys "$2" ;;
	NAME=VALUE,...) _iommusim_sets "$2" ;;
	POINT:N) _iommusim_points : ;;
	GLOB) _iommusim_points '' ;;
	*NAME*)
		case $3 in
		--trace-format) echo auto; "$program" trace formats 2>/dev/null | sed -n 's/^\([a-z]*\) .*/\1/p' ;;
		--to) "$program" trace formats 2>/dev/null | sed -n 's/^\([a-z]*\) *read\/write.*/\1/p' ;;
		--format) "$program" pagetable formats --json 2>/dev/null | sed -n 's/.*"name" : "\(.*\)".*/\1/p' ;;
		esac
		;;
	*DIR* | FILE | OUT | *TRACE* | *.*) _iommusim_files "$1" "$2" ;;
	esac
	# Words in lower case stand for themselves: "open|closed|asap".
	[[ $1 == *'|'* ]] && tr '|' '\n' <<<"$1" | grep -x '[a-z][a-z0-9-]*'
}

# Offers the lines of $2 that begin with $1. (A chroot may have no /dev/fd, so nothing here reads from <(…); compgen -W would expand them: a file may be called $(reboot).)
_iommusim_offer()
{
	local line

	COMPREPLY=()
	while IFS= read -r line; do
		[[ -n $line && $line == "$1"* ]] && COMPREPLY+=("$line")
	done <<<"$2"
}

_iommusim()
{
	local line=${COMP_LINE:0:COMP_POINT} program=${COMP_WORDS[0]/#\~/$HOME}
	local words command current previous options breaks usage

	# COMP_WORDS are cut at "=" and ":"; options here have those in them.
	read -ra words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=('')
	current=${words[-1]}
	previous=${words[-2]}
	if ((${#words[@]} < 3)); then
		_iommusim_offer "$current" "$(_iommusim_commands | cut -d' ' -f1 | sort -u; printf -- '--help\n--version\n')"
		return
	fi
	command=${words[1]}
	[[ $command == *[^a-z]* ]] && return
	if ! _iommusim_commands | grep -qx -e "$command"; then
		if ((${#words[@]} == 3)); then
			_iommusim_offer "$current" "$(_iommusim_commands | sed -n "s/^$command //p"; echo --help)"
			return
		fi
		command="${words[1]} ${words[2]}"
	fi
	# shellcheck disable=SC2086 # a command is one word or two
	options=$(_iommusim_options $command)

	if [[ $current == --*=* ]]; then
		previous=${current%%=*}
		current=${current#*=}
		usage=$(_iommusim_takes "$previous" <<<"$options")
		_iommusim_offer "$current" "$(_iommusim_values "$usage" "$current" "$previous")"
	elif [[ $previous == -* && -n $(_iommusim_takes "$previous" <<<"$options") ]]; then
		usage=$(_iommusim_takes "$previous" <<<"$options")
		_iommusim_offer "$current" "$(_iommusim_values "$usage" "$current" "$previous")"
	elif [[ $current == -* ]]; then
		_iommusim_offer "$current" "$(sed 's/^-[a-zA-Z] //; s/=.*/=/' <<<"$options")"
	else
		# shellcheck disable=SC2086
		usage=$("$program" $command --help 2>/dev/null | sed -n '2s/.*…\] *//p')
		_iommusim_offer "$current" "$(_iommusim_files "$usage" "$current" | sort -u)"
	fi
	if [[ ${COMPREPLY[0]} == *[=:] ]]; then
		compopt -o nospace 2>/dev/null # it goes on
	elif [[ -e ${COMPREPLY[0]} ]]; then
		compopt -o filenames 2>/dev/null # quoted, and a directory goes on
	fi
	# bash replaces what stands behind the last of its word breaks.
	breaks=${COMP_WORDBREAKS//[^=:]/}
	if [[ -n $breaks && $current == *["$breaks"]* ]]; then
		previous=${current%"${current##*["$breaks"]}"}
		COMPREPLY=("${COMPREPLY[@]#"$previous"}")
	fi
}

complete -F _iommusim iommusim
