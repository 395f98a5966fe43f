#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Records what Linux does between a block request and the device's memory access, with tracefs alone: the I/O events, the
# events of the DMA and IOMMU layers, and probes on kernel functions that have no event. docs/record.md walks through it.
#
#	record.sh start [-b KB] [-f]	set up the events and start; -b: buffer of each CPU (default 49152); -f: also the
#					failures that fault injection makes
#	record.sh snap NAME [DIR]	a dump of the page table (Intel), into DIR/snapshots (default: .)
#	record.sh mark TEXT		a line of text in the recording
#	record.sh stop			stop; the events stay
#	record.sh dump [DIR]		write trace.txt, lost.txt, dmesg.txt, system.txt into DIR (default: .)
#	record.sh check [DIR]		were events lost, are calls without a return? (DIR: of a dump)
#	record.sh clean			remove the probes, disable the events, empty the buffer
#	record.sh boot [-b KB] [-f]	print what the kernel's command line needs to record from boot
#	record.sh probes		print the definitions of the probes
#
# Exit: 0 done; 1 check found a loss, or nothing could be enabled; 2 wrong use, or no tracefs.
# Where the kernel keeps things, for those who keep them elsewhere: TRACEFS, DEBUGFS, SYSFS, KALLSYMS; BDF: the device whose
# page table is dumped (default: that of nvme0).

# shellcheck disable=SC2016 # the dollar signs of probes are the kernel's

set -u

TRACEFS=${TRACEFS:-/sys/kernel/tracing}
DEBUGFS=${DEBUGFS:-/sys/kernel/debug}
SYSFS=${SYSFS:-/sys}
KALLSYMS=${KALLSYMS:-/proc/kallsyms}
GROUP=io
BUFFER_KB=49152
COMMAND_LINE_MAX=2048 # bytes: COMMAND_LINE_SIZE of x86

# The trace events: a group, and which of it.
EVENTS='
block block_rq_issue
block block_rq_complete
block block_rq_requeue
block block_rq_insert
nvme *
dma *
iommu *
intel_iommu *
'

# The probes: p(robe at entry) or r(eturn), name, function, arguments. The names and arguments are those that iommusim reads;
# $argN needs no register names, and types stand only where an argument is narrower than a register, so that all of it
# fits a command line.
#
# The domain's allocator, and the DMA interface that gives a request one IOVA (6.17 and later).
PROBES='
p iova_init init_iova_domain granule=$arg2 start=$arg3 iovad=$arg1
p iova_reserve reserve_iova lo=$arg2 hi=$arg3 iovad=$arg1
p iova_alloc alloc_iova_fast size=$arg2 limit=$arg3 flush=$arg4:u8 iovad=$arg1
r iova_alloc_ret alloc_iova_fast pfn=$retval
p iova_free free_iova_fast pfn=$arg2 size=$arg3 iovad=$arg1
r iova_free_ret free_iova_fast r=$retval:x8
p try_alloc dma_iova_try_alloc phys=$arg3 size=$arg4 st=$arg2
p link dma_iova_link st=$arg2 phys=$arg3 off=$arg4 size=$arg5 dir=$arg6:u32
p destroy dma_iova_destroy st=$arg2 addr=+0($arg2) sz=+8($arg2) len=$arg3 dir=$arg4:u32
p iova_free_state dma_iova_free st=$arg2 addr=+0($arg2)
p map_nosync iommu_map_nosync iova=$arg2 paddr=$arg3 size=$arg4 prot=$arg5:x32
r map_nosync_ret iommu_map_nosync ret=$retval:s32
p pool_alloc dma_pool_alloc pool=$arg1
p pool_free dma_pool_free pool=$arg1 dma=$arg3
p fq_timeout fq_flush_timeout
p depot_work iova_depot_work_func work=$arg1
r depot_work_ret iova_depot_work_func r=$retval:x8
'

# In place of the trace events of group dma, in kernels that lack it (before 6.12).
PROBES_DMA='
p dma_map_page dma_map_page_attrs offset=$arg3 size=$arg4 dir=$arg5:u32
p dma_unmap_page dma_unmap_page_attrs addr=$arg2 size=$arg3 dir=$arg4:u32
p dma_map_sg dma_map_sgtable dir=$arg3:u32
p dma_unmap_sg dma_unmap_sg_attrs nents=$arg3:u32
p dma_alloc_attrs dma_alloc_attrs size=$arg2
p dma_free_attrs dma_free_attrs size=$arg2 dma=$arg4
'

# Failures that fault injection makes: probes of every allocation, of which a filter leaves the failed ones.
PROBES_FAULT='
r should_failslab should_failslab ret=$retval:s32
r should_fail_alloc_page should_fail_alloc_page ret=$retval:u8
'

# Calls that are recorded at their entry and at their return.
PAIRS='iova_alloc iova_free map_nosync depot_work'

say() {
	echo "record.sh: $*" >&2
}

die() {
	say "$*"
	exit 2
}

need_tracefs() {
	[ -e "$TRACEFS/tracing_on" ] || TRACEFS=$DEBUGFS/tracing
	[ -e "$TRACEFS/tracing_on" ] || die "no tracefs: mount -t tracefs nodev /sys/kernel/tracing"
	[ -w "$TRACEFS/tracing_on" ] || die "$TRACEFS is not writable: be root"
}

# Writes $1 to $TRACEFS/$2; what the kernel says of it is not repeated, the caller knows more.
put() {
	(printf '%s\n' "$1" >"$TRACEFS/$2") 2>/dev/null
}

# The same, at the end of the file: further probes.
add() {
	(printf '%s\n' "$1" >>"$TRACEFS/$2") 2>/dev/null
}

mark() {
	put "$1" trace_marker || say "no trace_marker: \"$1\" is not in the recording"
}

# Whether the kernel has function $1, not inlined and under this very name.
has_function() {
	[ -r "$KALLSYMS" ] || return 0
	grep -q "^[0-9a-f]* [tTwW] $1\$" "$KALLSYMS" || grep -q "^[0-9a-f]* [tTwW] $1	" "$KALLSYMS"
}

all_probes() {
	printf '%s' "$PROBES"
	[ -d "$TRACEFS/events/dma" ] || printf '%s' "$PROBES_DMA"
	[ -z "$faults" ] || printf '%s' "$PROBES_FAULT"
}

# Prints "p:io/link dma_iova_link st=$arg2 ..." for each probe of $1. Those of no function of this kernel are skipped.
definitions() {
	printf '%s\n' "$1" | while read -r kind name function arguments; do
		[ -n "$kind" ] || continue
		if ! has_function "$function"; then
			say "skipped $name: this kernel has no function $function (inlined, renamed, or not built)"
			continue
		fi
		# Returns that can be under way at once, where the kernel does not size that itself.
		[ "$kind" = r ] && kind=r64
		printf '%s:%s/%s %s%s\n' "$kind" "$GROUP" "$name" "$function" "${arguments:+ $arguments}"
	done
}

# Whether the kernel has fprobes: unlike kprobes they do not miss a call made inside another's probe.
has_fprobes() {
	[ -e "$TRACEFS/dynamic_events" ] && grep -qF 'f[:[' "$TRACEFS/README" 2>/dev/null
}

# Sets probe $1, "p:io/NAME FUNCTION ARGUMENTS", as an fprobe, or else as a kprobe.
set_probe() {
	rest=${1#*:}
	if has_fprobes; then
		case $1 in
		p:*) fprobe="f:$rest" ;;
		*) fprobe="f:$(printf '%s\n' "$rest" | sed 's/ [^ ]*/&%return/')" ;;
		esac
		add "$fprobe" dynamic_events && return
	fi
	add "$1" kprobe_events
}

set_probes() {
	if [ ! -e "$TRACEFS/kprobe_events" ]; then
		say "this kernel has no kprobes: recording its trace events alone"
		return
	fi
	definitions "$(all_probes)" | while read -r definition; do
		name=${definition#*/}
		name=${name%% *}
		# From boot on, or from the last start.
		[ ! -e "$TRACEFS/events/$GROUP/$name/format" ] || continue
		set_probe "$definition" || say "skipped $name: the kernel refuses \"$definition\""
	done
	for name in should_failslab should_fail_alloc_page; do
		[ ! -e "$TRACEFS/events/$GROUP/$name/filter" ] || put 'ret != 0' "events/$GROUP/$name/filter"
	done
}

# Enables ($1: 1) or disables (0) what there is of group $2, event $3.
switch_event() {
	path=events/$2/$3
	[ "$3" = '*' ] && path=events/$2
	if [ ! -e "$TRACEFS/$path/enable" ]; then
		[ "$1" = 0 ] || say "skipped $2:$3: this kernel has no such event"
	elif ! put "$1" "$path/enable"; then
		say "skipped $2:$3: it cannot be switched"
	fi
}

switch_events() {
	set -f
	printf '%s\n' "$EVENTS" | while read -r group event; do
		[ -n "$group" ] && switch_event "$1" "$group" "$event"
	done
	set +f
	[ -e "$TRACEFS/events/$GROUP/enable" ] && switch_event "$1" "$GROUP" '*'
	return 0
}

faults=

take_options() {
	while getopts b:f option; do
		case $option in
		b) BUFFER_KB=$OPTARG ;;
		f) faults=yes ;;
		*) die "-b KB and -f are the options" ;;
		esac
	done
	case $BUFFER_KB in
	'' | *[!0-9]* | 0*) die "-b $BUFFER_KB: must be a number of KiB" ;;
	esac
	shift $((OPTIND - 1))
	[ $# -eq 0 ] || die "$1: -b KB and -f are the options"
}

cmd_start() {
	take_options "$@"
	need_tracefs
	put 0 tracing_on || die "tracing cannot be switched off"
	put nop current_tracer
	switch_events 0
	put "$BUFFER_KB" buffer_size_kb || say "the buffer cannot be $BUFFER_KB KiB for each CPU: it stays as it is"
	put global trace_clock || say "no clock \"global\": time stamps of different CPUs may not compare"
	: >"$TRACEFS/trace" || die "the buffer cannot be emptied"
	set_probes
	switch_events 1
	grep -q 1 "$TRACEFS/events/block/block_rq_issue/enable" 2>/dev/null || {
		say "block_rq_issue is not enabled: there is nothing to replay in such a recording"
		exit 1
	}
	put 1 tracing_on || die "tracing cannot be switched on"
	mark 'phase recording begin'
}

cmd_stop() {
	need_tracefs
	mark 'phase recording end'
	put 0 tracing_on || die "tracing cannot be switched off"
}

cmd_mark() {
	[ $# -eq 1 ] || die "mark takes one text"
	need_tracefs
	mark "$1"
}

# The device whose page table is dumped.
device() {
	if [ -n "${BDF:-}" ]; then
		echo "$BDF"
	elif [ -r "$SYSFS/class/nvme/nvme0/address" ]; then
		cat "$SYSFS/class/nvme/nvme0/address"
	fi
}

# Prints the page table of device $1: a file of its own, or, before 6.6, its part of the file of all.
page_table() {
	if [ -r "$DEBUGFS/iommu/intel/$1/domain_translation_struct" ]; then
		cat "$DEBUGFS/iommu/intel/$1/domain_translation_struct"
	else
		awk -v device="$1" '/^Device /{ours = $2 == device} ours' \
			"$DEBUGFS/iommu/intel/domain_translation_struct"
	fi
}

cmd_snap() {
	case $# in
	1 | 2) ;;
	*) die "snap takes a name and perhaps a directory" ;;
	esac
	case $1 in
	'' | *[!A-Za-z0-9_-]*) die "snap $1: a name has letters, digits, - and _" ;;
	esac
	need_tracefs
	bdf=$(device)
	[ -n "$bdf" ] || die "which device? set BDF=0000:04:00.0"
	if [ ! -r "$DEBUGFS/iommu/intel/$bdf/domain_translation_struct" ] &&
		[ ! -r "$DEBUGFS/iommu/intel/domain_translation_struct" ]; then
		die "no page-table dump in $DEBUGFS/iommu/intel: Intel only, with IOMMU_DEBUGFS and INTEL_IOMMU_DEBUGFS"
	fi
	mkdir -p "${2:-.}/snapshots" || exit 2
	mark "phase snap-$1 begin"
	page_table "$bdf" >"${2:-.}/snapshots/$1.pagetable.txt.tmp" || exit 2
	mark "phase snap-$1 end"
	mv "${2:-.}/snapshots/$1.pagetable.txt.tmp" "${2:-.}/snapshots/$1.pagetable.txt"
}

# What was lost: "cpu0 overrun: 0", ..., and "link 17 0": hits and misses of each probe.
losses() {
	for stats in "$TRACEFS"/per_cpu/cpu*/stats; do
		cpu=${stats%/stats}
		sed "s|^|${cpu##*/} |" "$stats"
	done
	[ ! -r "$TRACEFS/kprobe_profile" ] || sed 's|^ *|probe |' "$TRACEFS/kprobe_profile"
}

cmd_dump() {
	[ $# -le 1 ] || die "dump takes a directory"
	need_tracefs
	[ "$(cat "$TRACEFS/tracing_on")" = 0 ] || die "still recording: stop first, or the dump changes what it reads"
	dir=${1:-.}
	mkdir -p "$dir" || exit 2
	cat "$TRACEFS/trace" >"$dir/trace.txt.tmp" || exit 2
	mv "$dir/trace.txt.tmp" "$dir/trace.txt"
	losses >"$dir/lost.txt"
	dmesg >"$dir/dmesg.txt" 2>/dev/null || say "no dmesg"
	{
		uname -a
		cat /proc/cmdline
		for group in "$SYSFS"/kernel/iommu_groups/*/type; do
			[ ! -r "$group" ] || echo "$group $(cat "$group")"
		done
		for limit in "$SYSFS"/block/nvme*/queue/max_sectors_kb "$SYSFS"/block/nvme*/queue/max_segments; do
			[ ! -r "$limit" ] || echo "$limit $(cat "$limit")"
		done
	} >"$dir/system.txt" 2>/dev/null
	say "$(grep -vc '^#' "$dir/trace.txt") events in $dir/trace.txt"
}

# Complains of what $1, lost.txt or the same from the kernel, says was lost.
check_losses() {
	awk '
	$2 ~ /^(overrun|dropped)/ || $0 ~ /(commit overrun|dropped events):/ {
		if ($NF + 0) { print "lost: " $0; bad = 1 }
		next
	}
	$1 == "probe" && $NF + 0 { print "missed: " $2 " " $NF " of " $(NF - 1) + $NF " hits"; bad = 1 }
	END { exit bad }' "$1"
}

# Complains of calls in $1, a recording, that do not return, or return without having begun; and of the buffer's own count.
check_trace() {
	awk -v pairs="$PAIRS" '
	/^# entries-in-buffer\/entries-written:/ {
		split($3, n, "/")
		if (n[1] != n[2]) { print "lost: " n[2] - n[1] " of " n[2] " entries"; bad = 1 }
	}
	/^CPU:[0-9]+ \[LOST/ { print "lost: " $0; bad = 1 }
	{
		for (i = 3; i < NF && i < 9; i++)
			if ($i ~ /^[0-9]+\.[0-9]+:$/) {
				name = $(i + 1)
				sub(/:$/, "", name)
				count[name]++
				break
			}
	}
	END {
		split(pairs, pair, " ")
		for (i = 1; i in pair; i++)
			if (count[pair[i] "_ret"] && count[pair[i]] + 0 != count[pair[i] "_ret"]) {
				print "incomplete: " count[pair[i]] + 0 " " pair[i] ", " count[pair[i] "_ret"] " returns"
				bad = 1
			}
		if (!count["block_rq_issue"]) { print "empty: no block_rq_issue"; bad = 1 }
		exit bad
	}' "$1"
}

cmd_check() {
	[ $# -le 1 ] || die "check takes a directory"
	code=0
	if [ $# -eq 1 ]; then
		[ -r "$1/trace.txt" ] || die "$1: no trace.txt in it"
		[ ! -r "$1/lost.txt" ] || check_losses "$1/lost.txt" || code=1
		check_trace "$1/trace.txt" || code=1
	else
		need_tracefs
		losses | check_losses - || code=1
		check_trace "$TRACEFS/trace" || code=1
	fi
	[ $code -ne 0 ] || echo "nothing lost"
	exit $code
}

cmd_clean() {
	need_tracefs
	put 0 tracing_on
	switch_events 0
	file=kprobe_events
	[ ! -e "$TRACEFS/dynamic_events" ] || file=dynamic_events
	definitions "$PROBES$PROBES_DMA$PROBES_FAULT" 2>/dev/null | while read -r definition; do
		name=${definition#*/}
		add "-:$GROUP/${name%% *}" $file
	done
	: >"$TRACEFS/trace"
}

cmd_boot() {
	take_options "$@"
	[ -e "$TRACEFS/tracing_on" ] || TRACEFS=$DEBUGFS/tracing
	set -f
	events=$(printf '%s\n' "$EVENTS" | while read -r group event; do
		[ -n "$group" ] && printf ',%s:%s' "$group" "$event"
	done)
	set +f
	probes=$(definitions "$(all_probes)" | tr ' \n' ',;')
	line="trace_clock=global trace_buf_size=${BUFFER_KB}K trace_event=${events#,} kprobe_event=${probes%;}"
	printf '%s\n' "$line"
	[ ${#line} -lt $((COMMAND_LINE_MAX - 200)) ] ||
		say "${#line} bytes: x86 takes $COMMAND_LINE_MAX in all; leave out probes that you can do without"
	case $probes in *\$*) say "quote it for your boot loader: it has dollar signs" ;; esac
}

cmd_probes() {
	definitions "$PROBES$PROBES_DMA$PROBES_FAULT"
}

usage() {
	sed -n '/^#	record.sh/s/^#	//p' "$0"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
stop | clean | probes) [ $# -eq 0 ] || die "$command takes no argument" ;;
esac
case $command in
start | snap | mark | stop | dump | check | clean | boot | probes) "cmd_$command" "$@" ;;
-h | --help | help) usage ;;
*)
	usage >&2
	exit 2
	;;
esac
