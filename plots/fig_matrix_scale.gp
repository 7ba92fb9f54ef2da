# SPDX-License-Identifier: GPL-2.0
# What per-VMA locks do, on each kernel of a campaign: how often a fault sleeps beside
# a thread that maps, from each run's summary. Huge pages have another unit, a fault of 2 MiB.
width = 1000
height = 560
load 'plots/campaign.gp'

cells(threads) = '--short --measure=scale --metric=fault_beside_voluntary --backing=vmalloc,memfd,perf-ring,4k --threads='.threads.' '
# The k-th run: its name is no text of a command
of_run(what, k, threads) = '"$K2U_STAT" series '.what.cells(threads). \
	sprintf('"$K2U_MATRIX/$("$K2U_STAT" matrix --saved --print=kernels "$K2U_MATRIX" | cut -d " " -f %d)"', k)
titles(k, threads) = system(of_run('--print=titles ', k, threads))

# One of the threads maps. All that were measured
threads = system('"$K2U_STAT" series --short --print=threads --measure=scale --metric=fault_beside_voluntary "$K2U_RUN"')
few = '2'
most = words(threads) ? word(threads, words(threads)) : '2'
rows = ''
do for [k = 1:words(kernels)] {
	list = titles(k, few)
	do for [j = 1:words(list)] {
		if (place(word(list, j), rows) == 0) { rows = rows.'"'.word(list, j).'" ' }
	}
}
if (words(rows) == 0) { exit message 'matrix_scale: nothing of this in the campaign' }

# What the fault takes, by the function that serves it
name(t) = t eq 'fault (memfd)' ? 'memfd' : t eq 'fault (perf-ring)' ? 'perf ring' : t eq 'anon (4k)' ? 'anon' : method(t)

set label 1 'How often a fault sleeps, beside a thread that maps as fast as it can'
set label 2 caption
set label 4 'Box and dot: the median, 0 where there is no box. Thin bar: its interval.' tc rgb '#333333'
set label 3 'Each thread faults in a mapping of its own; what they share is mmap_lock. Voluntary context switches of the faulting threads, of 1000 faults.'

shades = '#08519C #9ECAE1 #4292C6 #C6DBEF #969696 #252525 #DEEBF7'
nk = words(kernels)
barwidth = 0.8 / nk
set boxwidth barwidth
set style fill solid 1 noborder
set xrange [0.4:words(rows) + 0.6]
set yrange [0:*]
set xtics rotate by 35 right ('' 1)
do for [j = 1:words(rows)] { set xtics add (name(word(rows, j)) j) }
set multiplot
do for [i = 1:(most eq few ? 1 : 2)] {
	these = i == 1 ? few : most
	set lmargin at screen i == 1 ? 0.07 : 0.55
	set rmargin at screen i == 1 ? 0.49 : 0.97
	set tmargin at screen 0.84
	set bmargin at screen 0.27
	set title (these eq '2' ? 'one thread faults' : sprintf('%d threads fault', these - 1))
	set ylabel (i == 1 ? 'sleeps of 1000 faults' : '') offset 1
	if (i == 1) { set key at graph 0.98, 0.98 right top vertical } else { unset key }
	bar(k, t) = place(t, rows) + (k - (nk + 1) / 2.0) * barwidth
	plot for [k = 1:nk] NaN with boxes lc rgb word(shades, k) title 'Linux '.word(kernels, k), \
		for [k = 1:nk] for [j = 1:words(titles(k, these))] \
			'< '.of_run('', k, these) index j - 1 \
			using (bar(k, word(titles(k, these), j))):(1000 * $2) \
			with boxes lc rgb word(shades, k) notitle, \
		for [k = 1:nk] for [j = 1:words(titles(k, these))] \
			'< '.of_run('', k, these) index j - 1 \
			using (bar(k, word(titles(k, these), j))):(1000 * $2):(1000 * $3):(1000 * $4) \
			with yerrorbars pt 7 ps 0.4 lc rgb '#000000' notitle
	unset label
}
unset multiplot
