# SPDX-License-Identifier: GPL-2.0
# Packets: what one costs, sent and taken, and taking it alone; all rivals in one chart.
load 'plots/style.gp'

# Both providers, whose titles are "k2u ring (skb)"
packets(metric) = '--measure=skb --threads=1 --metric='.metric.' '
list(cells) = system('"$K2U_STAT" series --print=titles '.cells.' "$K2U_RUN"')
rows(cells) = '< "$K2U_STAT" series '.cells.' "$K2U_RUN"'

legend = list(packets('packet_64'))
if (words(legend) == 0) { exit message 'skb: not in this run' }

# One look each, apart from those of the methods
rival(t) = t eq 'tree null (skb)' ? 60 : t eq 'tree recv (socket)' ? 10 : \
	t eq 'tree packet_v2 (ring)' ? 30 : t eq 'tree packet_v3 (ring)' ? 40 : \
	t eq 'tree xdp (umem)' ? 110 : t eq 'k2u ring (skb)' ? 20 : \
	t eq 'k2u read (skb)' ? 21 : t eq 'k2u page (skb)' ? 50 : 70

set label 1 'Cost of a UDP packet over lo, of 64 sent and then taken by one thread'
set label 3 interval(about('blocks', packets('packet_64')))
if (counted) { set label 4 'Copies of payloads: string instructions are counted per iteration here, so large sizes say nothing about hardware.' }

sizes = about('sizes', packets('packet_64'))
eval size_axis(sizes)
# Where two are close the first has a tick and no label
do for [i = 1:words(sizes)] {
	s = word(sizes, i)
	close = i < words(sizes) && word(sizes, i + 1) < 2 * s
	set xtics add (close ? '' : s s + 0)
}
set xlabel 'bytes of payload'
set logscale y
set ytics ('' 1)
do for [d = 0:6] {
	do for [m in '1 2 5'] { set ytics add (sprintf('%g%s', m * 10.0**(d % 3), (d < 3 ? '' : d < 6 ? 'k' : 'M')) m * 10.0**d) }
}

set multiplot
do for [metric in 'packet_64 take_64'] {
	first = metric eq 'packet_64'
	set lmargin at screen first ? 0.085 : 0.455
	set rmargin at screen first ? 0.41 : 0.785
	set title first ? 'sent and taken (packet_64)' : 'taken alone (take_64)'
	set ylabel first ? divided(1).' per packet' : ''
	mine = list(packets(metric))
	set yrange [*:*]
	stats rows(packets(metric)) using 3 nooutput name 'low'
	stats rows(packets(metric)) using 4 nooutput name 'high'
	set yrange [low_min / 1.2:high_max * 1.2]
	plot for [i = 1:(first ? words(legend) : 0)] keyentry with linespoints \
			ls rival(word(legend, i)) title word(legend, i), \
		for [i = 1:words(mine)] rows(packets(metric)) index i - 1 using 1:2:3:4 \
			with yerrorlines ls rival(word(mine, i)) notitle
	unset label
}
unset multiplot
