# SPDX-License-Identifier: GPL-2.0
# Latency: percentiles of the service time of single operations; where single
# operations were not timed (icount), medians of batches against size.
load 'plots/style.gp'

cells(metric) = '--measure=latency --metric='.metric.' '
baselines = '--provider='.provider.',tree --method=null,anon '

timed = about('blocks', own.cells('read_svc,touch_svc,mmap_svc,munmap_svc')) ne '0'
suffix = timed ? '_svc' : ''
metrics = timed ? 'read touch mmap munmap' : 'read touch mmap load'
what(metric) = metric eq 'read' ? 'one copy' : \
	metric eq 'touch' ? 'first load from a page' : \
	metric eq 'mmap' ? 'mmap of the buffer' : \
	metric eq 'munmap' ? 'munmap, all pages touched' : 'one dependent load'

all = cells('read'.suffix.',touch'.suffix.',mmap'.suffix.',munmap'.suffix.(timed ? '' : ',load'))
if (about('blocks', own.all) eq '0') { exit message 'latency: not in this run' }
legend = about('titles', own.all).about('titles', baselines.all)

# The largest size up to 1 MiB stands for a metric
pick(metric) = (list = about('sizes', own.cells(metric)), at = '', \
	words(list) ? sum [i = 1:words(list)] (word(list, i) + 0 <= 2**20 ? (at = word(list, i), 0) : 0) : 0, at)
size(bytes) = bytes eq '' ? '' : '--size='.bytes.' '

set label 1 (timed ? 'Latency of single operations, percentiles: ' : 'Latency, medians of batches: ').provider_name
if (timed) {
	set label 3 'Service time (closed loop), n = '.about('samples', own.all).' per curve; no percentile with fewer than 10 samples beyond it; below 1 ns: drawn at 1 ns.'
} else {
	set label 3 interval(about('blocks', own.all))
}
if (counted) { set label 4 'Single operations are not timed here: no percentiles. String instructions count per iteration: large reads say nothing about hardware.' }

set multiplot
set logscale y
if (counted) {
	set format y '%.0s%c'
} else {
	# A hair above, or the tick at the axis' very end goes missing
	do for [i = 0:9] { set ytics add (time_text(10**i) 10**i * (1 + 1e-9)) }
}
# What is left of next to nothing after the clock's own cost was subtracted
shown(v) = v < 1 ? 1 : v
set title offset 0, -0.6
n = 0
do for [name in metrics] {
	metric = name.suffix
	left = n % 2 == 0
	upper = n < 2
	set lmargin at screen left ? 0.075 : 0.455
	set rmargin at screen left ? 0.405 : 0.785
	set tmargin at screen upper ? 0.86 : 0.495
	set bmargin at screen upper ? 0.605 : 0.24
	at = timed ? pick(metric) : ''
	mine = cells(metric).own.size(at)
	base = cells(metric).baselines.(name eq 'read' ? '' : size(at))
	mine_titles = about('titles', mine)
	base_titles = about('titles', base)
	set title what(name).(at eq '' ? '' : ', '.size_text(at + 0))
	set ylabel (left && counted ? 'instructions' : '') offset 1
	axis = timed ? '--x=percentile ' : ''
	if (timed) {
		set xrange [-0.3:4.3]
		set xtics ('p50' 0, 'p90' 1, 'p99' 2, 'p99.9' 3, 'max' 4)
	} else {
		list = about('sizes', mine)
		if (words(list)) { eval size_axis(list) }
		do for [i = 3:36:3] { set xtics add (size_name(2.0**i) 2.0**i) }
	}
	if (words(mine_titles) == 0) {
		set label 9 'not measured' at graph 0.5, 0.5 center
		set yrange [1:10]
		plot NaN notitle
		unset label 9
		set yrange [*:*]
	} else {
		plot for [i = 1:words(base_titles)] series(axis.base) index i - 1 \
				using 1:(shown($2)):(shown($3)):(shown($4)) \
				with yerrorlines ls look(word(base_titles, i)) notitle, \
			for [i = 1:words(mine_titles)] series(axis.mine) index i - 1 \
				using 1:(shown($2)):(shown($3)):(shown($4)) \
				with yerrorlines ls look(word(mine_titles, i)) notitle
	}
	unset label
	n = n + 1
}

# The legend has a place of its own: gnuplot fits one into its panel's height
unset border
unset tics
unset title
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
