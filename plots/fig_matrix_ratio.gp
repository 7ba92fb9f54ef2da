# SPDX-License-Identifier: GPL-2.0
# What each method has gained or lost since the oldest kernel of a campaign: a
# panel per method, a line per metric.
load 'plots/campaign.gp'

lines = 9
array name[lines] = ['open', 'close', 'pread of 64 B', 'mmap of a page', '', \
	'first load, a page', 'munmap of a page', '', '']
array pick[lines]
list = fact('sizes', '--measure=latency --metric=mmap ')
many = words(list) ? word(list, words(list)) : '0'
large = '--size='.many.' '
small = '--size='.page.' '
latency(metric) = '--measure=latency --metric='.metric.' '
name[5] = 'mmap of '.size_text(many + 0)
name[8] = 'munmap of '.size_text(many + 0)
pick[1] = latency('open')
pick[2] = latency('close')
pick[3] = latency('read').'--size=64 '
pick[4] = latency('mmap').small
pick[5] = latency('mmap').large
pick[6] = latency('touch').large
pick[7] = latency('munmap').small
pick[8] = latency('munmap').large
uses = 0
do for [k = 16:1:-1] {
	if (uses == 0 && words(fact('sizes', '--measure=throughput --metric=e2e_'.k.' ')) > 0) { uses = k }
}
list = fact('sizes', '--measure=throughput --metric=e2e_'.uses.' ')
bytes = words(list) ? word(list, words(list)) : '0'
name[9] = sprintf('%d uses of %s', uses, size_text(bytes + 0))
pick[9] = '--measure=throughput --metric=e2e_'.uses.' --size='.bytes.' '

set style line 101 lc rgb '#888888' lw 1.6
set style line 102 lc rgb '#000000' lw 1.6
set style line 103 lc rgb '#D55E00' lw 1.6
set style line 104 lc rgb '#56B4E9' lw 1.6
set style line 105 lc rgb '#0072B2' lw 1.6
set style line 106 lc rgb '#009E73' lw 1.6
set style line 107 lc rgb '#E69F00' lw 1.6 dt (6,4)
set style line 108 lc rgb '#CC79A7' lw 1.6
set style line 109 lc rgb '#882255' lw 1.6 dt (2,3)

# The methods, once each: eight panels
mine = '--provider='.provider.' --measure=latency --metric=open,mmap,read '. \
	(provider eq 'k2u' ? '--backing=vmalloc --method=read,fault,fault_vma_lock,fault_around,insert,pfn,populate,vmalloc ' : '')
every = fact('titles', mine)
shown = ''
do for [i = 1:words(every)] {
	if (place(word(every, i), shown) == 0) { shown = shown.'"'.word(every, i).'" ' }
}
if (words(shown) == 0) { exit message 'matrix_ratio: nothing of this in the campaign' }
backing(t) = words(t) > 1 ? word(t, 2)[2:strlen(word(t, 2)) - 1] : 'none'
# Names in a command; k2u-stat lets none through that means something there
quoted(s) = strstrt(s, "'") ? "''" : "'".s."'"
of(t) = '--provider='.provider.' --method='.quoted(method(t)).' --backing='.quoted(backing(t)).' '
# String instructions are counted one by one there
told(t, i) = !(counted && i == 9 && method(t) eq 'read')

set label 1 'Cost against the oldest kernel: '.provider_name
set label 2 caption
set label 3 'Triangle: a step from the kernel before, up slower, down faster (sign test over pairs of boots, Holm over the campaign). ×1: the oldest that has it.'

eval kernel_axis
# One scale, so that panels can be held against each other
least = 1
most = 1
do for [p = 1:words(shown)] {
	do for [i = 1:lines] {
		if (told(word(shown, p), i) && words(fact('titles', of(word(shown, p)).pick[i])) > 0) {
			stats curve(of(word(shown, p)).pick[i]) using 5 nooutput
			if (STATS_records > 0) {
				least = STATS_min < least ? STATS_min : least
				most = STATS_max > most ? STATS_max : most
			}
		}
	}
}
set multiplot
set title offset 0, -0.6
set logscale y 2
set yrange [least / 1.1:most * 1.1]
set format y '×%g'
do for [p = 1:(words(shown) > 8 ? 8 : words(shown))] {
	eval panel_place(p)
	set title word(shown, p)
	t = word(shown, p)
	has(i) = told(t, i) && words(fact('titles', of(t).pick[i])) > 0
	data(i) = has(i) ? curve(of(t).pick[i]) : '< printf "0 0 0 0 NaN NaN NaN 0 0\n"'
	plot for [i = 1:lines] data(i) using 1:5:6:7 with yerrorlines ls 100 + i pt 7 ps 0.3 notitle, \
		for [i = 1:lines] data(i) using 1:($8 == 1 ? $5 : NaN) with points ls 100 + i pt 9 ps 0.9 notitle, \
		for [i = 1:lines] data(i) using 1:($9 == 1 ? $5 : NaN) with points ls 100 + i pt 11 ps 0.9 notitle
	unset label
}
eval legend_place
plot for [i = 1:lines] keyentry with lines ls 100 + i title name[i], \
	keyentry with points pt 9 ps 1.0 lc rgb '#555555' title 'slower step', \
	keyentry with points pt 11 ps 1.0 lc rgb '#555555' title 'faster step', NaN notitle
unset multiplot
