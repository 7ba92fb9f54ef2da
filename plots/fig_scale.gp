# SPDX-License-Identifier: GPL-2.0
# Cost of an operation against the number of threads, or processes, that do it at once.
width = 1280
height = 920
load 'plots/style.gp'

upper_row = 'fault_shared fault_own fault_own_proc fault_beside'
lower_row = 'storm storm_proc read_shared fault_beside_voluntary'
what(m) = m eq 'fault_shared' ? 'fault: one mapping, threads' : \
	m eq 'fault_own' ? 'fault: own mappings, threads' : \
	m eq 'fault_own_proc' ? 'fault: processes' : \
	m eq 'fault_beside' ? 'fault beside one that maps' : \
	m eq 'storm' ? 'mmap, touch, munmap: threads' : \
	m eq 'storm_proc' ? 'the same: processes' : \
	m eq 'read_shared' ? 'read one mapping, each' : 'sleeps beside one that maps'

cells(metric) = '--measure=scale --metric='.metric.' '
mine(metric) = own.cells(metric)
# A fault of a huge page is another unit
base(metric) = '--provider='.provider.',tree --method=null,anon --backing=none,4k '.cells(metric)
comma(list) = (joined = word(list, 1), words(list) > 1 ? sum [i = 2:words(list)] (joined = joined.','.word(list, i), 0) : 0, joined)
every = comma(upper_row.' '.lower_row)

if (about('blocks', mine(every)) eq '0') { exit message 'scale: not in this run' }
legend = about('titles', mine(every)).about('titles', base(every))

threads = about('threads', mine(every))
most = word(threads, words(threads)) + 0
# 0: not recorded
cpus = ('0'.run('--get=cpu.allowed')) + 0
set label 1 'Many at once: '.provider_name
set label 3 interval(about('blocks', mine(every)))
set label 4 (counted ? 'Instructions of all CPUs, per operation: what is more than by one alone is spent on waiting.' : \
	'Time per operation of one thread: flat is perfect up to the number of CPUs'. \
	(cpus > 0 ? sprintf(', %d here', cpus) : '').(cpus > 0 && cpus < most ? ' (grey line); more share them.' : '.')) \
	tc rgb '#333333'

set logscale x 2
set xrange [0.8:most * 1.25]
set xtics ('' 1)
do for [i = 1:words(threads)] { set xtics add (word(threads, i) word(threads, i) + 0) }

# The costs of a row are on one scale
low = 1e30
high = 0
widen = "if (about('blocks', from) ne '0') { set yrange [*:*]; \
	stats series(from) using 3 nooutput; low = STATS_min < low ? STATS_min : low; \
	stats series(from) using 4 nooutput; high = STATS_max > high ? STATS_max : high }"

set multiplot
set title offset 0, -0.6
n = 0
do for [metric in upper_row.' '.lower_row] {
	column = n % 4
	upper = n < 4
	left = 0.06 + 0.195 * column
	set lmargin at screen left
	set rmargin at screen left + 0.145
	set tmargin at screen upper ? 0.86 : 0.5
	set bmargin at screen upper ? 0.6 : 0.24
	rate = metric eq 'read_shared'
	sleeps = metric eq 'fault_beside_voluntary'
	times = sleeps ? 1000 : 1
	set title what(metric)
	set xlabel (upper ? '' : metric eq 'storm_proc' ? 'processes' : 'threads')
	set ylabel (rate ? (counted ? 'bytes per instruction' : 'GB/s') : sleeps ? 'of 1000 faults' : \
		counted && !column ? 'instructions' : '') offset (sleeps ? 0 : 1)
	unset ytics
	set ytics nomirror textcolor rgb '#222222'
	unset logscale y
	if (rate || sleeps) {
		set format y '%g'
		set yrange [0:*]
		if (about('max', mine(metric)) + about('max', base(metric)) == 0) { set yrange [0:1] }
	} else {
		set logscale y
		if (column == 0) {
			low = 1e30
			high = 0
			do for [other in upper ? upper_row : 'storm storm_proc'] {
				from = '--x=threads '.mine(other)
				eval widen
				from = '--x=threads '.base(other)
				eval widen
			}
		}
		set format y '%.0s%c'
		if (!counted) {
			# A short axis has labels at 2 and 5, too
			set format y '%g'
			set ytics ('' 1)
			do for [i = 0:9] {
				do for [j = 1:9] {
					v = j * 10.0**i * (1 + 1e-9)
					if (j == 1 || (high < 40 * low && (j == 2 || j == 5))) {
						set ytics add (time_text(j * 10.0**i) v)
					} else {
						set ytics add ('' v 1)
					}
				}
			}
		}
		if (high > 0) { set yrange [low / 1.3:high * 1.3] }
	}
	own_titles = about('titles', mine(metric))
	base_titles = about('titles', base(metric))
	if (cpus > 0 && cpus < most) {
		set arrow 1 from cpus, graph 0 to cpus, graph 1 nohead lw 3 lc rgb '#CCCCCC' back
	}
	if (words(own_titles) == 0) {
		set label 9 'not measured' at graph 0.5, 0.5 center
		set yrange [1:10]
		plot NaN notitle
		unset label 9
	} else {
		plot for [i = 1:words(base_titles)] series('--x=threads '.base(metric)) index i - 1 \
				using 1:(times * $2):(times * $3):(times * $4) with yerrorlines ls look(word(base_titles, i)) notitle, \
			for [i = 1:words(own_titles)] series('--x=threads '.mine(metric)) index i - 1 \
				using 1:(times * $2):(times * $3):(times * $4) with yerrorlines ls look(word(own_titles, i)) notitle
	}
	unset arrow
	unset label
	n = n + 1
}

# The legend has a place of its own: gnuplot fits one into its panel's height
unset border
unset tics
unset title
unset xlabel
unset ylabel
unset logscale
legend_x = 0.835
set lmargin at screen legend_x
set rmargin at screen 0.99
set tmargin at screen 0.86
set bmargin at screen 0.24
set key at screen legend_x, 0.86 left top
set xrange [0:1]
set yrange [0:1]
plot for [i = 1:words(legend)] keyentry with linespoints ls look(word(legend, i)) \
	title word(legend, i), NaN notitle
unset multiplot
