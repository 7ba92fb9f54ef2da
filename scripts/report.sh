#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# REPORT.md in the checkout's root, and the charts of each run, from runs.
#
#	scripts/report.sh RUN|CAMPAIGN...
#
# A campaign is a directory with a run per kernel in it, as make matrix makes.
# Every figure comes from k2u-stat; here is the prose around it. REPORT.md is
# replaced as a whole or not at all.
# shellcheck disable=SC2016 # backquotes are Markdown
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
# shellcheck source=scripts/lib.sh
. "$top/scripts/lib.sh"

K2U_STAT=$top/build/k2u-stat
# All that the registry has, but for null, which hands over nothing
K2U_METHODS=$(sed -n 's/^K2U_METHOD([0-9]*, \([a-z0-9_]*\),.*/\1/p' "$top/include/methods.def" |
	grep -vx null | paste -sd , -)
METHODS=$K2U_METHODS
CAMPAIGN_FIGURES='matrix matrix_use matrix_ratio'
FIGURES='throughput phases breakeven latency faults numa scale'
SHARED_FIGURES='stream skb'
export K2U_STAT K2U_METHODS

[ $# -gt 0 ] || die "which runs? For example: scripts/report.sh results/*/"
[ -x "$K2U_STAT" ] || die "build/k2u-stat is not there: run make"

explained_capability=
tmp=$(mktemp -d)
new=
trap 'rm -rf -- "$tmp" ${new:+"$new"}' EXIT
trap 'exit 130' INT TERM

get() {
	"$K2U_STAT" env "--get=$2" "$1"
}

# text RUN KEY: the same for prose, harmless in Markdown
text() {
	"$K2U_STAT" env --markdown "--get=$2" "$1"
}

# word RUN KEY: the same for a command that readers copy: nothing but a word
word() {
	value=$(get "$1" "$2")
	case $value in
	'' | -* | *[!A-Za-z0-9._+~/-]*) printf '(not recorded)' ;;
	*) printf '%s' "$value" ;;
	esac
}

# code: text from a run, as it stands between backquotes
code() {
	tr '`' "'"
}

# markdown TEXT: a name that is not from a run
markdown() {
	printf '%s' "$1" | sed 's/[][|<>&`*_\\]/\\&/g'
}

# has RUN SELECTION...: is there a row?
has() {
	has_run=$1
	shift
	[ "$("$K2U_STAT" series --print=blocks "$@" "$has_run")" != 0 ]
}

has_provider() {
	has "$1" "--provider=$2" "--method=$METHODS"
}

# ---- summaries and charts ----

summarize() {
	if [ -e "$1/samples.csv" ] || [ -e "$1/samples.csv.partial" ]; then
		"$K2U_STAT" summarize "$1"
	elif [ ! -e "$1/summary.csv" ] && [ ! -e "$1/capability.csv" ]; then
		die "$1: neither samples.csv nor summary.csv is there: not a run?"
	fi
}

# has_figure RUN PROVIDER FIGURE: is there something to draw?
has_figure() {
	case $3 in
	phases) has "$1" --measure=cost "--provider=$2" "--method=$METHODS" ;;
	breakeven) has "$1" --measure=breakeven "--provider=$2" ;;
	*) has "$1" "--measure=$3" "--provider=$2" "--method=$METHODS" ;;
	esac
}

# draw RUN, draw_campaign CAMPAIGN: note the charts that there are to draw
draw() {
	mkdir -p -- "$1/plots"
	for provider in k2u tree; do
		for figure in $FIGURES; do
			! has_figure "$1" "$provider" "$figure" || chart_of "$1" "$1" "$provider" "$figure"
		done
	done
	# Rivals: both providers in one chart
	for figure in $SHARED_FIGURES; do
		! has "$1" "--measure=$figure" || chart_of "$1" "$1" all "$figure"
	done
}

# chart_of DIR RUN PROVIDER FIGURE: for draw_charts
chart_of() {
	for term in svg png; do
		printf '%s\0' "$@" "$term" >>"$tmp/charts"
	done
}

# draw_charts: those noted, as many at a time as there are processors
draw_charts() {
	[ ! -s "$tmp/charts" ] || xargs -0 -n 5 -P "$(nproc)" "$top/scripts/report.sh" --chart <"$tmp/charts" || exit 1
}

# draw_chart DIR RUN PROVIDER FIGURE TERM: DIR is the run or its campaign, which may
# have nothing of it
draw_chart() {
	K2U_MATRIX=$1 K2U_RUN=$2 K2U_PROVIDER=$3 K2U_TERM=$5 K2U_OUT=$tmp/chart \
		gnuplot "$top/plots/fig_$4.gp" 2>"$tmp/gnuplot" || die "$1: chart $4: $(cat "$tmp/gnuplot")"
	[ ! -s "$tmp/chart" ] || mv -- "$tmp/chart" "$1/plots/$4-$3.$5"
}

is_campaign() {
	[ ! -e "$1/env.json" ] && [ -n "$(find "$1" -mindepth 2 -maxdepth 2 -name env.json 2>/dev/null)" ]
}

# has_cells CAMPAIGN: was anything in it timed or counted?
has_cells() {
	[ "$(wc -l <"$1/matrix.csv")" -gt 1 ]
}

# capability_runs CAMPAIGN: those of its runs that looked at what a mapping is
capability_runs() {
	for env in "$1"/*/env.json; do
		[ ! -e "${env%/env.json}/capability.csv" ] || printf '%s\n' "${env%/env.json}"
	done
}

# runs_of CAMPAIGN: its runs, oldest kernel first
runs_of() {
	for kernel in $("$K2U_STAT" matrix --saved --print=kernels "$1"); do
		printf '%s/%s\n' "$1" "$kernel"
	done
}

summarize_campaign() {
	for env in "$1"/*/env.json; do
		summarize "${env%/env.json}"
	done
	"$K2U_STAT" matrix "$1" >/dev/null
}

draw_campaign() {
	mkdir -p -- "$1/plots"
	any=$(runs_of "$1" | sed -n 1p)
	for provider in k2u tree; do
		for figure in $CAMPAIGN_FIGURES; do
			chart_of "$1" "$any" "$provider" "$figure"
		done
	done
	# Providers side by side
	! has "$any" --measure=scale || chart_of "$1" "$any" all matrix_scale
}

# ---- parts of the report ----

# link PATH: as seen from REPORT.md, between < and >
link() {
	case $1 in
	"$top"/*) printf '%s' "${1#"$top"/}" ;;
	*) printf '%s' "$1" ;;
	esac | sed 's/[\\<>]/\\&/g'
}

is_emulated() {
	case $(get "$1" venue),$(get "$1" virtualization) in
	icount,* | tcg,* | *,tcg) return 0 ;;
	*) return 1 ;;
	esac
}

# loud RUN: what nobody may overlook
loud() {
	if [ "$(get "$1" complete)" != true ]; then
		error=$(text "$1" error)
		printf '> **INCOMPLETE RUN: it did not end%s. What it kept is shown; do not cite it.**\n\n' \
			"${error:+ ($error)}"
	fi
	[ "$(get "$1" quick)" != true ] ||
		printf '> The QUICK set: fewer sizes and blocks. For figures to cite, run it without QUICK=1.\n\n'
	if [ "$(get "$1" venue)" = icount ]; then
		cat <<-'END'
			> **Counts of guest instructions, not time.** They tell the length of the kernel's path and
			> compare kernels and mappings; they know no caches, no TLB and no memory latency. A string
			> copy counts per iteration, so copies (`read`, `ioctl`, `splice` and others) take no part in any choice below.

		END
	elif is_emulated "$1"; then
		printf '> **EMULATED TIME (TCG): these are no hardware figures.**\n\n'
	fi
}

# choice RUN PROVIDER
choice() {
	case $2 in
	k2u) printf '*The module, k2u.ko:*\n\n' ;;
	tree) printf '*What every kernel has (tree provider):*\n\n' ;;
	esac
	"$K2U_STAT" choose --lines=4 "--provider=$2" "$1"
	echo
}

checks_brief() {
	if [ -e "$1/checks.csv" ] || [ -e "$1/checks.csv.partial" ]; then
		"$K2U_STAT" checks --brief "$1"
		echo
	fi
}

summary_of() {
	printf '### %s\n\n' "$("$K2U_STAT" env --caption --markdown "$1")"
	loud "$1"
	shown=
	for provider in k2u tree; do
		has "$1" --measure=cost "--provider=$provider" "--method=$METHODS" || continue
		# In a guest the module is what matters; the tree is in the run's section
		[ "$provider" = k2u ] || [ -z "$shown" ] || ! is_emulated "$1" || continue
		choice "$1" "$provider"
		shown=1
	done
	checks_brief "$1"
	[ -n "$shown" ] || printf 'No choice: this run has no cost by phase (measure throughput).\n\n'
}

# chart RUN FIGURE PROVIDER TEXT
chart() {
	[ -e "$1/plots/$2-$3.png" ] || return 0
	path=$(link "$1")
	printf '[![%s](<%s/plots/%s-%s.png>)](<%s/plots/%s-%s.svg>)\n\n' \
		"$4" "$path" "$2" "$3" "$path" "$2" "$3"
}

# table RUN TITLE SELECTION...: nothing if there is nothing in it
table() {
	table_run=$1 title=$2
	shift 2
	"$K2U_STAT" table --format=md "$@" "$table_run" >"$tmp/table"
	[ -s "$tmp/table" ] || return 0
	printf '%s\n\n' "$title"
	cat "$tmp/table"
	echo
}

# folded RUN TITLE SELECTION...: the same, opened by a click
folded() {
	table "$@" >"$tmp/folded"
	[ -s "$tmp/folded" ] || return 0
	# Markdown ends where HTML begins
	printf '<details><summary>%s</summary>\n' "$(printf '%s' "$2" | tr -d '`')"
	sed 1d "$tmp/folded"
	printf '</details>\n\n'
}

section_throughput() {
	has "$1" --measure=throughput "--method=$METHODS,anon" || return 0
	printf '### Throughput\n\n'
	for provider in k2u tree; do
		chart "$1" throughput "$provider" "Throughput against size, $provider"
	done
	set -- "$1" --measure=throughput
	table "$1" 'Set up once, used often (`reuse`). `anon`: the same loop over plain anonymous memory.' \
		"$2" --metric=reuse
	table "$1" 'The same over that of plain anonymous memory in 4 KiB pages, paired by block (1: a warm mapping is plain memory).' \
		--measure=parity
	table "$1" 'Set up, used once, torn down (`per_use`).' "$2" --metric=per_use
	folded "$1" 'The copy alone, nothing consumed (`copy`).' "$2" --metric=copy
}

section_phases() {
	has "$1" --measure=cost || return 0
	printf '### Cost by phase\n\n'
	for provider in k2u tree; do
		chart "$1" phases "$provider" "Cost by phase, $provider"
	done
	folded "$1" 'Cost per use, set up once and used so many times (from the phases); `read` into a buffer that is reused.' \
		--measure=cost --cols=metric --metric=uses_1,uses_10,uses_100,uses_inf
	folded "$1" 'The same where `read` goes into a fresh buffer each time that the others are set up.' \
		--measure=cost --cols=metric --metric=fresh_1,fresh_10,fresh_100,fresh_inf --method=read
}

section_breakeven() {
	has "$1" --measure=breakeven --metric=k || return 0
	printf '### Break-even\n\n'
	if [ "$(get "$1" venue)" = icount ]; then
		printf 'Drawn for completeness ('
		for provider in k2u tree; do
			[ ! -e "$1/plots/breakeven-$provider.svg" ] ||
				printf '[%s](<%s/plots/breakeven-%s.svg>) ' "$provider" "$(link "$1")" "$provider"
		done
		printf 'and breakeven.csv), not shown: it would compare with copies, whose instruction count is an artefact.\n\n'
	else
		for provider in k2u tree; do
			chart "$1" breakeven "$provider" "Break-even against size, $provider"
		done
		table "$1" 'Uses from which a mapping costs no more than `read` into a buffer that the program reuses; `inf`: never.' \
			--measure=breakeven --metric=k
		folded "$1" 'The same against `read` into a fresh buffer, which is mapped, faulted in and unmapped as often as the mapping.' \
			--measure=breakeven --metric=k_fresh
	fi
	folded "$1" 'Cost that the phases predict over the cost measured end to end, at that many uses (1: they agree); of buffers up to 16 MiB.' \
		--measure=breakeven --unit=ratio --cols=metric
}

section_latency() {
	has "$1" --measure=latency || return 0
	printf '### Latency\n\n'
	for provider in k2u tree; do
		chart "$1" latency "$provider" "Latency, $provider"
	done
	table "$1" 'One `pread`, by bytes (`null`: of 0 bytes).' --measure=latency --metric=read
	table "$1" 'First load from a page of a fresh mapping (`touch`), by size of the mapping.' \
		--measure=latency --metric=touch
	table "$1" 'One load of a dependent chain (`load`), by working set.' --measure=latency --metric=load
	table "$1" 'Mapping the whole buffer (`mmap`).' --measure=latency --metric=mmap
	table "$1" 'Unmapping it after every page was touched (`munmap`).' --measure=latency --metric=munmap
	folded "$1" 'Obtaining and releasing the file descriptor with its buffer: once for each, in the row of the first method that has it.' --measure=latency --metric=open,close \
		--cols=metric
	for metric in read touch mmap munmap; do
		folded "$1" "Service time of single operations, \`${metric}_svc\` (closed loop; –: too few samples for it)." \
			--measure=latency "--metric=${metric}_svc" --cols=percentile
	done
}

section_faults() {
	has "$1" --measure=faults || return 0
	printf '### Faults\n\n'
	for provider in k2u tree; do
		chart "$1" faults "$provider" "Faults expected and counted, $provider"
	done
	folded "$1" 'Faults that a first pass over all pages must take, and those counted. The module sees those that its own handler served.' \
		--measure=faults --cols=metric --unit=faults \
		--metric=expected,minor_rusage,minor_perf,minor_module,major_rusage,major_perf
	table "$1" 'Cost of one fault: first pass minus warm pass, per fault.' \
		--measure=faults --metric=fault
}

section_numa() {
	has "$1" --measure=numa || return 0
	printf '### NUMA nodes\n\n'
	printf '`load_c0m1`: the thread on a CPU of node 0, the memory on node 1, which check `node` has confirmed. Distances that the firmware gives, by node:\n\n'
	"$K2U_STAT" env "$1" | sed -n 's/^| memory.numa..distances.\(node[0-9]*\) | \(.*\) |$/    \1: \2/p'
	echo
	for provider in k2u tree; do
		chart "$1" numa "$provider" "Each pair of nodes, $provider"
	done
	table "$1" 'One load of a dependent chain (`load`).' --measure=numa --cols=metric --unit=ns,insn
	table "$1" 'Set up once, used often (`reuse`); the copy alone (`copy`).' \
		--measure=numa --cols=metric --unit=GB/s,B/insn
}

section_scale() {
	has "$1" --measure=scale "--method=$METHODS,anon" || return 0
	printf '### Many at once\n\n'
	if [ "$(get "$1" venue)" = icount ]; then
		printf 'Instructions of all CPUs, per operation: what is more than by one is spent on waiting and on each other. '
	else
		printf 'Wall time from the first one'"'"'s beginning to the last one'"'"'s end, per operation of one thread: the same in every column where nobody stands in another'"'"'s way. '
	fi
	cpus=$(text "$1" cpu.allowed)
	printf 'CPUs: %s; of more threads than that some wait for one.\n\n' "${cpus:-(not recorded)}"
	for provider in k2u tree; do
		chart "$1" scale "$provider" "Cost by number of threads, $provider"
	done
	set -- "$1" --measure=scale --cols=threads
	table "$1" 'A fault in a mapping of its own, by threads (`fault_own`).' "$2" "$3" --metric=fault_own
	table "$1" 'The same by processes: no `mmap_lock` is shared.' "$2" "$3" --metric=fault_own_proc
	table "$1" 'The same by threads beside one more that maps and unmaps a page all the while (`fault_beside`; *2* is one of each).' \
		"$2" "$3" --metric=fault_beside
	table "$1" 'Voluntary context switches in such a fault: sleeping for `mmap_lock`.' "$2" "$3" --metric=fault_beside_voluntary
	table "$1" 'Map, touch a page, unmap, by threads (`storm`).' "$2" "$3" --metric=storm
	table "$1" 'The same by processes.' "$2" "$3" --metric=storm_proc
	folded "$1" 'A fault in one mapping that all share (`fault_shared`).' "$2" "$3" --metric=fault_shared
	folded "$1" 'Reading one mapping, the rate of each (`read_shared`).' "$2" "$3" --metric=read_shared
	folded "$1" 'CPU time of one `storm` by threads: what is missing from the wall time it slept.' "$2" "$3" --metric=storm_cpu
	folded "$1" 'Voluntary context switches in one `storm` by threads.' "$2" "$3" --metric=storm_voluntary
	folded "$1" 'TLB shootdowns in one `storm` by threads (of the whole system).' "$2" "$3" --metric=storm_tlb
	folded "$1" 'Faults taken for one in own mappings (more than 1: a page in the window was locked by another).' \
		"$2" "$3" --metric=fault_own_faults
}

section_counters() {
	has "$1" --measure=counters || return 0
	printf '### Events of the hardware\n\n'
	printf 'Of one use, by phase: set up, get and consume the first time and the next time, tear down. In user mode (`_user`) and in the kernel (`_kernel`), counted and never scaled; what an empty window counts is subtracted.\n\n'
	for phase in setup first-touch warm teardown; do
		folded "$1" "Phase \`$phase\`." --measure=counters --cols=metric "--phase=$phase"
	done
}

section_stream() {
	has "$1" --measure=stream || return 0
	printf '### Records, one after the other\n\n'
	chart "$1" stream all "Records that the kernel keeps producing"
	table "$1" 'Producing one record, 64 by a call (`produce_64`), by its size. `null`: the BPF program that outputs nothing, which the rows of BPF and perf contain. `trace-pipe`: a write() for each, copied from user space.' \
		--measure=stream --metric=produce_64
	table "$1" 'Consuming one, every word of it, 64 at a time (`consume_64`).' --measure=stream --metric=consume_64
	folded "$1" 'Producing and consuming one by a call for each (`produce_1`, `consume_1`).' \
		--measure=stream --metric=produce_1,consume_1 --cols=metric
	table "$1" 'One record, produced by a call and consumed at once, on one CPU (`handoff_1`): what a consumer that spins waits for, but for the way between two CPUs. `flag`: a cache line, and no call.' \
		--measure=stream --metric=handoff_1
	table "$1" 'One record whose consumer sleeps in poll() on the same CPU (`wake_1`): produced, woken for, read, asleep again.' \
		--measure=stream --metric=wake_1
	table "$1" 'One record that a timer of the same CPU produces, from when it is due until a consumer has read it that spins (`timer_spin`) or sleeps (`timer_poll`): interrupt, softirq, record, and wake-up. `null (timerfd)`: the expiry of a timerfd, without a record.' \
		--measure=stream --metric=timer_spin,timer_poll --cols=metric
	for how in spin poll; do
		folded "$1" "Percentiles of \`timer_$how\` (–: too few samples for it)." --measure=stream "--metric=timer_$how" --cols=percentile
	done
	for how in spin poll; do
		case $how in
		spin) consumer='a consumer on another CPU that spins' ;;
		poll) consumer='a consumer on another CPU that sleeps in poll() while there are none' ;;
		esac
		table "$1" "Latency with $consumer: from the time at which a record is due, one in 20 µs, until it is read (\`latency_$how\`; –: too few samples for it)." \
			--measure=stream "--metric=latency_$how" --cols=percentile
		table "$1" "Flat out, to $consumer: records consumed (\`records_$how\`), by their size." \
			--measure=stream "--metric=records_$how"
		folded "$1" "The same as bytes (\`rate_$how\`)." --measure=stream "--metric=rate_$how"
		folded "$1" "Of these, records that found no room (\`dropped_$how\`)." --measure=stream "--metric=dropped_$how"
	done
	folded "$1" 'How often the consumer slept (`sleeps_poll`), and the source woke it where it counts that (`wakeups_poll`), per record.' \
		--measure=stream --metric=sleeps_poll,wakeups_poll --cols=metric
}

section_skb() {
	has "$1" --measure=skb || return 0
	printf '### Packets\n\n'
	chart "$1" skb all "Cost of a packet against its payload, all receivers"
	set -- "$1" --measure=skb
	table "$1" 'A UDP packet over lo, one of 64 that one thread sends and then takes (`packet_64`), by bytes of payload. `null`: sent, and dropped by a socket.' \
		"$2" --metric=packet_64
	table "$1" 'Of which taking it, all bytes read (`take_64`). The rest is the sending system call, in which lo delivers it.' \
		"$2" --metric=take_64
	! has "$1" "$2" --method=page ||
		printf 'What `page` takes by reference are whole pages, which at these sizes the sender splices to the socket, for all receivers.\n\n'
	folded "$1" 'The same one by one: one is sent, one is taken (`packet_1`).' "$2" --metric=packet_1
	folded "$1" 'Taking one (`take_1`).' "$2" --metric=take_1
	table "$1" 'Flat out, a thread each on two CPUs: payload taken while the sender sends (`flood`).' \
		"$2" --metric=flood
	table "$1" 'The share of packets that was dropped, and counted as such.' "$2" --metric=flood_dropped
	folded "$1" 'Time per packet taken; CPU time of the sender, which the receiving path of lo is part of, and of the receiver.' \
		"$2" --metric=flood_packet,flood_send_cpu,flood_take_cpu --cols=metric
}

section_hyperfine() {
	[ -e "$1/hyperfine.json" ] || return 0
	printf '### Whole command\n\n'
	if [ "$(get "$1" venue)" = icount ]; then
		printf 'Virtual time: 1 ms is 10^6 guest instructions, whatever the hardware. '
	elif is_emulated "$1"; then
		printf '**Emulated time.** '
	fi
	printf 'Start, open, get the bytes, consume them, exit; measured by hyperfine. Interval: of the median.\n\n'
	"$K2U_STAT" hyperfine "$1"
	echo
}

section_checks() {
	printf '### Checks, and what was unavailable\n\n'
	if [ -e "$1/checks.csv" ] || [ -e "$1/checks.csv.partial" ]; then
		"$K2U_STAT" checks "$1"
	else
		printf '**checks.csv is not there: nothing of this run is verified.**\n'
	fi
	printf '\nCells that have flags in summary.csv are marked † in the tables; nothing was dropped.\n\n'
	"$K2U_STAT" env --methods "$1"
	"$K2U_STAT" env --warnings "$1" >"$tmp/warnings"
	if [ -s "$tmp/warnings" ]; then
		printf '\nWarnings:\n\n'
		cat "$tmp/warnings"
	fi
	echo
}

section_environment() {
	printf '### Environment\n\n<details><summary>What it was measured on</summary>\n\n'
	"$K2U_STAT" env "$1"
	printf '\n</details>\n\n'
}

repeat() {
	release=$(word "$1" kernel.release)
	set -- "$1" "$(get "$1" venue)"
	line='make bench'
	[ "$(get "$1" quick)" != true ] || line="$line QUICK=1"
	if [ "$2" != native ]; then
		line="$line VENUE=vm KERNEL=$(printf '%s' "$release" | sed 's/^\([0-9]*\.[0-9]*\).*/\1/')"
	elif has_provider "$1" k2u; then
		line="$line VENUE=native"
	fi
	printf '    git checkout %s\n    %s SEED=%s\n' "$(word "$1" tool.git)" "$line" "$(word "$1" seed)"
}

section_use() {
	printf '### Repeat and cite\n\n'
	repeat "$1"
	printf '\nThe driver was called as `k2u-bench %s`.\n\n' "$(get "$1" tool.args | code)"
	printf '> k2u %s (git %s), run %s, %s, Linux %s, %s.\n\n' "$(text "$1" tool.version)" \
		"$(text "$1" tool.git)" "$(text "$1" run_id)" "$(text "$1" venue)" \
		"$(text "$1" kernel.release)" "$(text "$1" started)"
}

# largest_steps CAMPAIGN PROVIDER N TITLE: of each release the N largest
largest_steps() {
	"$K2U_STAT" matrix --saved --format=md --steps=100000 --measure=latency,faults \
		"--provider=$2" "$1" >"$tmp/steps"
	if ! grep -q '→' "$tmp/steps"; then
		printf '%s: no step is called.\n\n' "$4"
		return
	fi
	printf '%s, the %s largest of each release:\n\n' "$4" "$3"
	awk -F '|' -v most="$3" '
		/^\| step |^\|---/ { print; next }
		/^\| (▲|▼) / {
			step = $2
			sub(/^ *(▲|▼) */, "", step)
			if (n[step]++ == 0)
				order[++steps] = step
			if (n[step] <= most)
				rows[step] = rows[step] $0 "\n"
		}
		END {
			# By release: the first kernel of a step in its place
			for (i = 1; i <= steps; i++)
				for (j = i + 1; j <= steps; j++)
					if (version(order[j]) < version(order[i])) {
						swap = order[i]
						order[i] = order[j]
						order[j] = swap
					}
			for (i = 1; i <= steps; i++)
				printf "%s", rows[order[i]]
		}
		function version(text, part) {
			split(text, part, /[. ]/)
			return part[1] * 1000 + part[2]
		}' "$tmp/steps"
	echo
}

# explained CAMPAIGN: the sections of docs/STEPS.md whose step this campaign has:
# a cell that is slower or faster, or one that an older kernel does not have
explained() {
	[ -e "$top/docs/STEPS.md" ] || return 0
	awk -F , '
		function version(text, part) {
			split(text, part, ".")
			return part[1] * 1000 + part[2]
		}
		function glob(text) {
			gsub(/[.+]/, "[&]", text)
			gsub(/\*/, "[^/]*", text)
			return "^" text "$"
		}
		function step(name, before, after, new) {
			steps++
			cell[steps] = name
			appears[steps] = new
			from[steps] = before
			to[steps] = after
		}
		function appeared(name, before, v) {
			before = 0
			for (v in kernels)
				if (v + 0 < first[name] && v + 0 > before)
					before = v + 0
			if (before)
				step(name, before, first[name], 1)
		}
		FNR == NR && FNR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next }
		FNR == NR {
			name = $c["provider"] "/" $c["method"] "/" $c["backing"] "/" $c["metric"] "/" $c["size_bytes"]
			kernel = version($c["kernel"])
			kernels[kernel]
			if (!(name in first) || kernel < first[name])
				first[name] = kernel
			if ($c["verdict"] == "slower" || $c["verdict"] == "faster")
				step(name, version($c["previous"]), kernel, 0)
			next
		}
		FNR == 1 {
			for (name in first)
				appeared(name)
			preface = 1
		}
		/^# / && preface { next }
		/^<!-- step: / {
			preface = 0
			sub(/^<!-- step: /, "")
			sub(/ *-->.*/, "")
			n = split($0, part, / *\| */)
			show = 0
			# A new method is explained by what is said of it alone
			named = part[1] !~ /\*.*\/.*\//
			for (i = 1; i <= steps && !show; i++)
				show = n == 3 && cell[i] ~ glob(part[1]) && (named || !appears[i]) &&
					from[i] < version(part[3]) && to[i] > version(part[2])
			shown += show
			next
		}
		preface && (before != "" || $0 != "") { before = before $0 "\n" }
		show { text = text $0 "\n" }
		END { if (shown) printf "%s%s", before, text }' "$1/matrix.csv" "$top/docs/STEPS.md"
}

# capability_text: how to read the tables; once
capability_text() {
	[ -z "$explained_capability" ] || return 0
	explained_capability=1
	cat <<-'END'
		Each cell was observed by doing it, in a process of its own, on a mapping of 64 KiB (page-table
		level, contiguity and huge pages: 4 MiB) as root, and by comparing the bytes that arrived with
		those of the buffer: a call that returned success but moved other bytes would be `wrong`, and
		fail the run.

		- `yes`: done, and the bytes are right. The name of an errno: what the call failed with. The
		  name of a signal: what ended the process that touched the mapping after the call had succeeded.
		- `no effect`: the call succeeded and did nothing. `accepted`: advice that shows in VmFlags,
		  whether or not it is ever acted upon. `kept`, `zero`: the bytes after the call. *n for m*:
		  n faults for m pages. n/a: unavailable, for the reason of that number below the tables.
		- *A, since 6.1 B*: the kernels before 6.1 that were measured give A, 6.1 and those after it B; the
		  change may be of any release after the last one that gives A. A list of kernels behind a
		  method: the others do not have it (there the same memory is mapped by another method).
		- ‡: the boots of a run do not agree.

		Level, memory type and contiguity of the module's mappings are read from the page tables
		(`K2U_IOC_INSPECT`), those of others from smaps and pagemap. VmFlags are those of a
		`PROT_READ` mapping, in the letters of proc(5), without `sd`. `O_DIRECT` is that of an NVMe disk in a guest,
		natively of the current directory's file system; a core is dumped with every bit of
		coredump_filter set; zero-copy sends are UDP over the loopback device.

	END
}

# section_capability RUN
section_capability() {
	[ -e "$1/capability.csv" ] || return 0
	printf '### What each mapping is, and what can be done with it\n\n'
	capability_text
	"$K2U_STAT" capability --format=md "$1"
	echo
}

# capability_chapter CAMPAIGN: what changed from kernel to kernel
capability_chapter() {
	capability_runs "$1" >"$tmp/capability"
	[ -s "$tmp/capability" ] || return 0
	first=$(sed -n 1p "$tmp/capability")
	set -- "$1"
	while IFS= read -r run; do
		set -- "$@" "$run"
	done <"$tmp/capability"
	printf '## What each mapping is, and what can be done with it: %s\n\n' "$(markdown "${1##*/}")"
	shift
	capability_text
	printf 'Observed in guests (venue %s) of: %s.\n\n' "$(text "$first" venue)" "$(
		for run; do
			text "$run" kernel.release
		done | sort -V | tr '\n' ',' | sed 's/,$//; s/,/, /g')"
	"$K2U_STAT" capability --format=md "$@"
	if [ -e "$top/docs/CAPABILITY.md" ]; then
		printf '\n### Why\n\n'
		sed '1,/^<!-- report -->$/d' "$top/docs/CAPABILITY.md"
	fi
	printf '\n### Repeat and cite\n\n    git checkout %s\n    make matrix MEASURES=capability BOOTS=1 KERNELS="%s"\n\n' \
		"$(word "$first" tool.git)" "$(for run; do
			printf '%s\n' "${run##*/}"
		done | sort -V | tr '\n' ' ' | sed 's/ $//')"
	printf '> k2u %s (git %s), capability of mappings, %s, %s.\n\n' "$(text "$first" tool.version)" \
		"$(text "$first" tool.git)" "$(text "$first" venue)" "$(text "$first" started)"
}

# campaign_has CAMPAIGN SELECTION...
campaign_has() {
	campaign=$1
	shift
	[ -n "$("$K2U_STAT" matrix --saved --print=titles "$@" "$campaign" | tr -d ' ')" ]
}

# campaign_table CAMPAIGN TEXT SELECTION...
campaign_table() {
	campaign=$1 text=$2
	shift 2
	printf '<details><summary>%s</summary>\n\n' "$text"
	"$K2U_STAT" matrix --saved --format=md "$@" "$campaign"
	printf '\n</details>\n\n'
}

campaign_operations() {
	campaign_has "$1" --measure=latency,faults || return 0
	printf '### The largest steps of single operations\n\n'
	largest_steps "$1" k2u 6 'The module'
	largest_steps "$1" tree 4 'What every kernel has'
	explained "$1" >"$tmp/explained"
	if [ -s "$tmp/explained" ]; then
		printf '### Why\n\n'
		sed 's/^### /#### /' "$tmp/explained"
	fi
	printf '\n### Single operations, by kernel\n\n'
	printf 'Every cell, those of throughput as well, is in `%s/matrix.csv`.\n\n<details><summary>Latency, and the cost of a fault</summary>\n\n' "${1#"$top"/}"
	"$K2U_STAT" matrix --format=md --measure=latency,faults --unit=insn,ns "$1"
	printf '\n</details>\n\n<details><summary>Counts of faults</summary>\n\n'
	"$K2U_STAT" matrix --saved --format=md --measure=faults --unit=faults \
		--metric=minor_rusage,minor_module "$1"
	printf '\n</details>\n\n'
}

campaign_scale() {
	campaign_has "$1" --measure=scale || return 0
	printf '### Many at once, by kernel\n\n'
	chart "$1" matrix_scale all "Sleeps of faults beside one that maps, by kernel"
	campaign_table "$1" 'Faults and maps, by how many threads or processes' --measure=scale \
		--metric=fault_shared,fault_own,fault_own_proc,fault_beside,fault_beside_map,storm,storm_proc
}

campaign_others() {
	for measure in stream skb; do
		! campaign_has "$1" "--measure=$measure" ||
			campaign_table "$1" "Measure \`$measure\`" "--measure=$measure"
	done
}

campaign_section() {
	runs_of "$1" >"$tmp/campaign"
	first=$(sed -n 1p "$tmp/campaign")
	printf '## Across kernels: %s\n\n' "$(markdown "${1##*/}")"
	loud "$first"
	printf 'The same measurement, boots of the kernels in balanced order; boots per kernel: '
	while IFS= read -r run; do
		printf '%s: %s; ' "$(markdown "${run##*/}")" "$("$K2U_STAT" boots "$run" | wc -l)"
	done <"$tmp/campaign" | sed 's/; $/.\n\n/'
	cat <<-'END'
		A *step* is a cell whose median over the boots differs between a kernel and the one before
		it: paired by boot, exact sign test, Holm over every step of this campaign, and no less than
		0.5 % (docs/METHODOLOGY.md, Comparing). ▲: slower. ▼: faster. Without a mark it is equivalent
		(within 1 %) or undecided; matrix.csv has the verdict, the interval and the corrected p of each.

	END
	if [ -e "$1/gaps.csv" ] && [ "$(wc -l <"$1/gaps.csv")" -gt 1 ]; then
		printf 'Not measured:\n\n'
		"$K2U_STAT" matrix --saved --print=reasons "$1"
		echo
	fi
	for provider in k2u tree; do
		chart "$1" matrix "$provider" "Latency from kernel to kernel, $provider"
		chart "$1" matrix_use "$provider" "Use of a fresh mapping from kernel to kernel, $provider"
		chart "$1" matrix_ratio "$provider" "Cost against the oldest kernel, $provider"
	done
	campaign_operations "$1"
	campaign_scale "$1"
	campaign_others "$1"
	printf '### What else changed\n\n'
	printf 'Beside the kernel itself, between each kernel and the one before: look here before blaming a commit.\n\n'
	before=
	while IFS= read -r run; do
		if [ -n "$before" ]; then
			printf '<details><summary>%s to %s</summary>\n\n' "${before##*/}" "${run##*/}"
			"$K2U_STAT" env "--against=$before" "$run"
			printf '\n</details>\n\n'
		fi
		before=$run
	done <"$tmp/campaign"
	measures=$(get "$first" tool.args | sed -n 's/^\(.* \)*--measures=\([a-z,]*\).*/\2/p')
	[ "$measures" != capability,faults,latency,throughput ] || measures=
	cpus=$(get "$first" cpu.allowed | sed -n '/^[2-9]$\|^[1-9][0-9]$/p')
	printf '### Repeat and cite\n\n    git checkout %s\n    make matrix KERNELS="%s" BOOTS=%s%s\n\n' \
		"$(word "$first" tool.git)" "$(sed 's/.*\///' "$tmp/campaign" | tr '\n' ' ' | sed 's/ $//')" \
		"$("$K2U_STAT" boots "$first" | wc -l)" \
		"$([ "$(get "$first" quick)" != true ] || echo ' QUICK=1')${measures:+ MEASURES=$measures}${cpus:+ CPUS=$cpus}"
	printf '> k2u %s (git %s), campaign %s, %s, %s.\n\n' "$(text "$first" tool.version)" \
		"$(text "$first" tool.git)" "$(markdown "${1##*/}")" "$(text "$first" venue)" "$(text "$first" started)"
}

run_section() {
	printf '## Run %s\n\n%s.\n\n' "$(text "$1" run_id)" "$("$K2U_STAT" env --caption --markdown "$1")"
	loud "$1"
	! is_emulated "$1" || ! has_provider "$1" k2u || ! has "$1" --measure=cost --provider=tree "--method=$METHODS" ||
		choice "$1" tree
	section_throughput "$1"
	section_phases "$1"
	section_breakeven "$1"
	section_latency "$1"
	section_faults "$1"
	section_numa "$1"
	section_scale "$1"
	section_counters "$1"
	section_stream "$1"
	section_skb "$1"
	section_capability "$1"
	section_hyperfine "$1"
	section_checks "$1"
	section_environment "$1"
	section_use "$1"
}

# ---- prose that is the same for all runs ----

preface() {
	cat <<-'END'
		# k2u: copy or map, and map how?

		A kernel component holds bytes and a process needs them. This report says what each way
		costs where it was measured. It is generated by `scripts/report.sh` from the runs below;
		no figure in it was typed by hand.

	END
}

choice_preface() {
	cat <<-'END'
		## What to choose

		Cost per use of getting **and consuming** the bytes, every byte read by the same code.
		*Uses*: how often the bytes are consumed between set-up and teardown of a mapping; *very
		many*: a warm pass alone. `read` goes into a buffer that the program has and reuses, at a
		warm pass per use (into a fresh one it is dearer: see cost by phase). Each cell: the method
		with the lowest median and its interval; the methods whose cost ratio to it, paired by
		block, cannot be told from 1 (or is within 1 %); and the next dearer one, with the ratio.
		†: a check of these cells failed (the flags in cost.csv say which).
		The object itself exists already: creating it is not counted.

	END
}

method_text() {
	cat <<-'END'
		## Method

		- A sample is a batch of operations timed together; the cost of clock and loop is measured
		  and subtracted (rows where that exceeds 1 % of the median are flagged). `_svc` metrics time
		  single operations, in a closed loop.
		- In each block every configuration of a group is measured once, in random order by the
		  seed shown. Medians are of block medians, *n* is the number of blocks.
		- Intervals `[low, high]` are order statistics of the block medians: distribution-free, exact
		  binomial, at least 95 % (the real level is in summary.csv). Fewer than 6 blocks: none.
		- Ratios and break-evens are computed within each block, then the median and its interval
		  are taken over blocks. Intervals are per cell, not corrected for the number of cells; the
		  cheapest of several was picked by its median, which flatters it a little.
		- Percentiles p are shown from 10/(1 - p) samples on. Outliers are kept.
		- Contents, consumption and fault counts are checked outside the timed windows.
		- GB/s are 10^9 bytes per second; KiB, MiB are 2^10, 2^20 bytes.

		docs/METHODOLOGY.md has the reasons, results/SCHEMA.md every column.

		## Caveats

		- Where a run has one boot, its intervals hold within it: another boot, another layout of
		  memory and of the caches may differ by more than their width. No claim across kernels can
		  rest on that. From two boots on, the interval is over the boots.
	END
}

caveats_of_runs() {
	! grep -q icount "$tmp/venues" || cat <<-'END'
		- `icount`: QEMU's clock counts guest instructions. There are no caches, no TLB and no memory
		  latency in it, and string instructions count per iteration: bulk copies (`rep movs`) are
		  left out of conclusions, and the zeroing of fresh memory (`rep stos`: 4,100 of each first
		  touch of anonymous memory) is in the figures.
	END
	! grep -q emulated "$tmp/venues" || cat <<-'END'
		- Emulated time (TCG) depends on the emulator, not on the guest's processor.
	END
	! grep -q virtual "$tmp/venues" || cat <<-'END'
		- `native` on a virtual machine is that machine's time: its host may take the processor away
		  (see steal time) and page tables have two levels of translation, which makes faults and
		  TLB misses dearer than on bare metal.
	END
	echo
}

# ---- main ----

cd -- "$top"
if [ "$1" = --chart ]; then
	shift
	draw_chart "$@"
	exit
fi
: >"$tmp/campaigns"
: >"$tmp/dirs"
for dir; do
	dir=$(plain_path RUNS "$dir")
	# Absolute, so that no name is taken for an option
	path=$(CDPATH='' cd -- "$dir" && pwd) || die "$dir: no such run"
	if is_campaign "$path"; then
		printf '%s\n' "$path" >>"$tmp/campaigns"
	else
		printf '%s\n' "$path" >>"$tmp/dirs"
	fi
done
while IFS= read -r run; do
	summarize "$run"
done <"$tmp/dirs"
while IFS= read -r campaign; do
	summarize_campaign "$campaign"
done <"$tmp/campaigns"
have gnuplot || die "gnuplot is not there and the charts need it: apt-get install gnuplot-nox" \
	"(the summaries of $* are written)"

# Native runs first, emulated ones last
: >"$tmp/order"
: >"$tmp/venues"
while IFS= read -r campaign; do
	has_cells "$campaign" || continue
	draw_campaign "$campaign"
	get "$(runs_of "$campaign" | sed -n 1p)" venue >>"$tmp/venues"
done <"$tmp/campaigns"
while IFS= read -r run; do
	draw "$run"
	case $(get "$run" venue) in
	native) rank=1 ;;
	kvm) rank=2 ;;
	*) rank=3 ;;
	esac
	printf '%s %s\n' "$rank" "$run" >>"$tmp/order"
	case $(get "$run" venue),$(get "$run" virtualization) in
	icount,*) echo icount ;;
	tcg,* | *,tcg) echo emulated ;;
	kvm,*) echo virtual ;;
	*,none | *,) ;;
	*) echo virtual ;;
	esac >>"$tmp/venues"
done <"$tmp/dirs"
draw_charts
sort -s -n -k 1,1 "$tmp/order" | cut -d ' ' -f 2- >"$tmp/runs"

new=$(mktemp "$top/.REPORT.md.XXXXXX")
{
	preface
	[ ! -s "$tmp/runs" ] || choice_preface
	while IFS= read -r run; do
		summary_of "$run"
	done <"$tmp/runs"
	while IFS= read -r campaign; do
		! has_cells "$campaign" || campaign_section "$campaign"
		capability_chapter "$campaign"
	done <"$tmp/campaigns"
	while IFS= read -r run; do
		run_section "$run"
	done <"$tmp/runs"
	method_text
	caveats_of_runs
} >"$new"
chmod 644 "$new"
sync -- "$new"
mv -- "$new" "$top/REPORT.md"
new=
say "REPORT.md: written, from $*"
