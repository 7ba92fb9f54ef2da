# SPDX-License-Identifier: GPL-2.0
# Throughput against size: set up once and used often, and set up for every use.
load 'plots/style.gp'

cells(metric) = '--measure=throughput --metric='.metric.' '
all = cells('reuse,per_use')

legend = about('titles', own.all).about('titles', anon.all)
if (about('blocks', own.all) eq '0') { exit message 'throughput: not in this run' }

set label 1 'Throughput of get-and-consume: '.provider_name
set label 3 interval(about('blocks', own.all))
if (counted) { set label 4 no_copies }

eval size_axis(about('sizes', own.all))
do for [i = 6:18] { set xtics add (size_name(4.0**i) 4.0**i) }
set xlabel 'bytes per use'

# One scale for both panels
max(a, b) = a > b ? a : b
set yrange [0:1.05 * max(about('max', own.all) + 0, about('max', anon.all) + 0)]

set multiplot
set ylabel counted ? 'bytes per instruction' : 'GB/s (10^9 bytes)'
do for [metric in 'reuse per_use'] {
	first = metric eq 'reuse'
	set lmargin at screen first ? 0.07 : 0.445
	set rmargin at screen first ? 0.41 : 0.785
	set title first ? 'set up once, used often (reuse)' : 'set up for every use (per_use)'
	mine = about('titles', own.cells(metric))
	base = about('titles', anon.cells(metric))
	plot for [i = 1:(first ? words(legend) : 0)] keyentry with linespoints \
			ls look(word(legend, i)) title word(legend, i), \
		for [i = 1:words(base)] series(anon.cells(metric)) index i - 1 \
			using 1:2:3:4 \
			with yerrorlines ls look(word(base, i)) notitle, \
		for [i = 1:words(mine)] series(own.cells(metric)) index i - 1 \
			using 1:2:3:4 \
			with yerrorlines ls look(word(mine, i)) notitle
	unset label
	unset ylabel
}
unset multiplot
