# SPDX-License-Identifier: GPL-2.0
# The panels that a chart of a campaign has described, against the kernels.

# Where lines lie far apart, a logarithmic axis
array log_y[n]
array top[n]
array legend[n]
all = ''
do for [i = 1:n] {
	legend[i] = fact('titles', cells[i])
	if (words(legend[i]) > 0) {
		stats curve(cells[i]) using ($2 / divide[i]) nooutput
		top[i] = STATS_max
		log_y[i] = STATS_min > 0 && STATS_max / STATS_min > 12
	}
	do for [j = 1:words(legend[i])] {
		if (place(word(legend[i], j), all) == 0) { all = all.'"'.word(legend[i], j).'" ' }
	}
}
if (words(all) == 0) { exit message 'matrix: nothing of this in the campaign' }
do for [i = 1:n] {
	if (base[i] ne '' && place('anon (4k)', all) == 0 && words(fact('titles', base[i])) > 0) { all = all.'"anon (4k)"' }
}

set label 2 caption
set label 3 'Triangle: a step from the kernel before, up slower, down faster (sign test over pairs of boots, Holm over the campaign); dot: none called.'

eval kernel_axis
set multiplot
set title offset 0, -0.6
do for [i = 1:n] {
	eval panel_place(i)
	set title what[i]
	set ylabel ((i - 1) % 4 ? '' : unit) offset 0.5
	d = divide[i]
	if (words(legend[i]) == 0) {
		set label 9 'not measured' at graph 0.5, 0.5 center
		set yrange [0:1]
		plot NaN notitle
		unset label 9
	} else {
		set format y (top[i] < 10 ? '%g' : '%.0f')
		if (log_y[i]) {
			set logscale y
			set yrange [*:*]
		} else {
			unset logscale y
			set yrange [0:*]
		}
		list = legend[i].(base[i] eq '' ? '' : fact('titles', base[i]))
		own_n = words(legend[i])
		data(j) = curve(j <= own_n ? cells[i] : base[i])
		at(j) = j <= own_n ? j - 1 : j - own_n - 1
		plot for [j = 1:words(list)] data(j) index at(j) using 1:($2 / d):($3 / d):($4 / d) \
				with yerrorlines ls look(word(list, j)) pt 7 ps 0.35 notitle, \
			for [j = 1:words(list)] data(j) index at(j) using 1:($8 == 1 ? $2 / d : NaN) \
				with points ls look(word(list, j)) pt 9 ps 1.0 notitle, \
			for [j = 1:words(list)] data(j) index at(j) using 1:($9 == 1 ? $2 / d : NaN) \
				with points ls look(word(list, j)) pt 11 ps 1.0 notitle
	}
	unset label
}

eval legend_place
plot for [i = 1:words(all)] keyentry with lines ls look(word(all, i)) title word(all, i), \
	keyentry with points pt 9 ps 1.0 lc rgb '#555555' title 'slower step', \
	keyentry with points pt 11 ps 1.0 lc rgb '#555555' title 'faster step', NaN notitle
unset multiplot
