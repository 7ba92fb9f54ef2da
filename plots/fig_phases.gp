# SPDX-License-Identifier: GPL-2.0
# Where the cost of one use goes, by phase, at a small, a middle and a large size.
load 'plots/style.gp'

phases = '--measure=throughput --metric=pass --cols=metric --phase=setup,first-touch,warm,teardown '
# All phases are drawn, a copy's fresh destination among them
total = '--measure=cost --metric=fresh_1 '

sizes = about('sizes', own.total)
if (words(sizes) == 0) { exit message 'phases: not in this run' }
titles = about('titles', own.total)
rows = words(titles)

set label 1 'Cost of getting and consuming the bytes once, by phase: '.provider_name
set label 3 interval(about('blocks', own.total)).' Bars: of the total.'
if (counted) { set label 4 no_copies }

# The panels share one legend, so it is drawn by hand
legend = '"setup" "first touch, beyond a warm pass" "consume, as in a warm pass" "teardown"'
array at_x[4] = [0.165, 0.265, 0.555, 0.805]
do for [i = 1:4] {
	set object i rectangle at screen at_x[i], 0.905 size screen 0.02, 0.025 fs solid 1 noborder
	set label 10 + i word(legend, i) at screen at_x[i] + 0.017, 0.905 left
}
set object 1 fc rgb phase_1
set object 2 fc rgb phase_2
set object 3 fc rgb phase_3
set object 4 fc rgb phase_4
unset key

set style fill solid 1 noborder
set grid noytics
set yrange [rows + 0.6:0.4]
set xrange [0:*]
set tmargin at screen 0.81
set bmargin at screen counted ? 0.25 : 0.22

# Columns: setup 2, first touch 5, warm 8, teardown 11. A first touch consumes, too.
consume(first, warm) = first < warm ? first : warm
bar(l) = place(strcol(1), titles) + l * 0.36

panels = words(sizes) < 3 ? words(sizes) : 3
pick(p) = word(sizes, panels == 3 && p == 1 ? (words(sizes) + 1) / 2 : p == 0 ? 1 : words(sizes))

# A tick step of 1, 2 or 5 times a power of ten: two to five ticks
power(v) = 10**floor(log10(v))
step(top) = (part = top / 2.0, part / power(part) < 2 ? power(part) : \
	part / power(part) < 5 ? 2 * power(part) : 5 * power(part))

set multiplot
do for [p = 0:panels - 1] {
	at = '--size='.pick(p).' '
	set lmargin at screen 0.18 + p * 0.28
	set rmargin at screen 0.18 + p * 0.28 + 0.24
	set title size_text(pick(p) + 0)
	set ytics scale 0 ('' 1) font small_font
	do for [i = 1:rows] { set ytics add (p ? '' : word(titles, i) i) }
	top = about('max', own.total.at) + 0
	d = divisor(top)
	set xlabel divided(d)
	set xtics step(top / d)
	bars = table(own.phases.at)
	plot bars using (0):(0):(0):($2 / d):(bar(-1)):(bar(1)) with boxxy ls 1, \
		bars using (0):(0):($2 / d):(($2 + $5 - consume($5, $8)) / d):(bar(-1)):(bar(1)) \
			with boxxy ls 2, \
		bars using (0):(0):(($2 + $5 - consume($5, $8)) / d):(($2 + $5) / d):(bar(-1)):(bar(1)) \
			with boxxy ls 3, \
		bars using (0):(0):(($2 + $5) / d):(($2 + $5 + $11) / d):(bar(-1)):(bar(1)) \
			with boxxy ls 4, \
		table(own.total.at.'--cols=metric ') using ($2 / d):(bar(0)):($3 / d):($4 / d) \
			with xerrorbars lc rgb 'black' lw 1.2 pt 0
	unset label
	unset object
}
unset multiplot
