# SPDX-License-Identifier: GPL-2.0
# Cost of an operation against the number of threads, or processes, that do it at once.
load 'plots/style.gp'

cells(metric) = '--measure=scale --metric='.metric.' --x=threads '
mine(metric) = own.cells(metric)
base(metric) = '--provider='.provider.',tree --method=null,anon '.cells(metric)
costs = 'fault_shared,fault_own,fault_own_proc,storm,storm_proc'
facts(what, metric) = about(what, own.'--measure=scale --metric='.metric.' ')
anon_facts(what, metric) = about(what, \
	'--provider='.provider.',tree --method=null,anon --measure=scale --metric='.metric.' ')

legend = facts('titles', costs.',read_shared').anon_facts('titles', costs.',read_shared')
if (facts('blocks', costs.',read_shared') eq '0') { exit message 'scale: not in this run' }

set label 1 'Many at once: '.provider_name
set label 3 interval(facts('blocks', costs.',read_shared'))
cpus = run('--get=cpu.allowed') + 0
set label 4 (counted ? 'Instructions of all CPUs, per operation: what is more than by one is waiting. ' : 'Flat is perfect, to so many as there are CPUs').(counted ? '' : cpus > 0 ? sprintf(' (grey line: %d). Beyond, the best is in proportion.', cpus) : '.') tc rgb '#333333'

threads = facts('threads', costs.',read_shared')
most = word(threads, words(threads))
set logscale x 2
set xrange [0.8:most * 1.25]
set xtics ('' 1)
do for [i = 1:words(threads)] { set xtics add (word(threads, i) word(threads, i) + 0) }

what(m) = m eq 'read_shared' ? 'read one mapping, per thread' : \
	m eq 'fault_shared' ? 'fault in one mapping, by threads' : \
	m eq 'fault_own' ? 'fault in own mappings, threads' : \
	m eq 'fault_own_proc' ? 'the same, processes' : \
	m eq 'storm' ? 'map, touch, unmap, threads' : 'the same, processes'

set multiplot
set title offset 0, -0.6
n = 0
do for [metric in 'fault_shared fault_own fault_own_proc read_shared storm storm_proc'] {
	column = n % 3
	upper = n < 3
	set lmargin at screen 0.075 + 0.245 * column
	set rmargin at screen 0.265 + 0.245 * column
	set tmargin at screen upper ? 0.86 : 0.5
	set bmargin at screen upper ? 0.6 : 0.24
	rate = metric eq 'read_shared'
	set title what(metric)
	set xlabel (upper ? '' : column == 2 || metric eq 'storm_proc' ? 'processes' : 'threads')
	set ylabel (column ? '' : rate ? (counted ? 'bytes per instruction' : 'GB/s') : counted ? 'instructions' : '') offset 0.5
	unset ytics
	set ytics nomirror textcolor rgb '#222222'
	# Costs in a row are on one scale
	unset logscale y
	set format y '%g'
	set yrange [0:*]
	if (!rate) {
		set logscale y
		set yrange [*:*]
		set format y '%.0s%c'
		if (!counted) {
			set format y '%g'
			set ytics ('' 1)
			do for [i = 0:9] {
				set ytics add (time_text(10**i) 10**i * (1 + 1e-9))
				do for [j = 2:9] { set ytics add ('' j * 10**i 1) }
			}
		}
		low = 1e30
		high = 0
		do for [k in (upper ? 'fault_shared fault_own fault_own_proc' : 'storm storm_proc')] {
			do for [who in 'own base'] {
				if ((who eq 'own' ? facts('blocks', k) : anon_facts('blocks', k)) ne '0') {
					stats series(who eq 'own' ? mine(k) : base(k)) using 3:4 nooutput
					low = STATS_min_x < low ? STATS_min_x : low
					high = STATS_max_y > high ? STATS_max_y : high
				}
			}
		}
		if (high > 0) { set yrange [low / 1.3:high * 1.3] }
	}
	mine_titles = facts('titles', metric)
	base_titles = anon_facts('titles', metric)
	if (cpus > 0 && cpus < most + 0) { set arrow 1 from cpus, graph 0 to cpus, graph 1 nohead lw 3 lc rgb '#CCCCCC' back }
	if (words(mine_titles) == 0) {
		set label 9 'not measured' at graph 0.5, 0.5 center
		set yrange [1:10]
		plot NaN notitle
		unset label 9
	} else {
		plot for [i = 1:words(base_titles)] series(base(metric)) index i - 1 using 1:2:3:4 \
				with yerrorlines ls look(word(base_titles, i)) notitle, \
			for [i = 1:words(mine_titles)] series(mine(metric)) index i - 1 using 1:2:3:4 \
				with yerrorlines ls look(word(mine_titles, i)) notitle
	}
	unset arrow
	unset label
	n = n + 1
}

unset border
unset tics
unset title
unset xlabel
unset ylabel
unset logscale
set lmargin at screen 0.79
set rmargin at screen 0.99
set tmargin at screen 0.86
set bmargin at screen 0.24
set key at screen legend_x, 0.86 left top
set xrange [0:1]
set yrange [0:1]
plot for [i = 1:words(legend)] keyentry with linespoints ls look(word(legend, i)) \
	title word(legend, i), NaN notitle
unset multiplot
