# SPDX-License-Identifier: GPL-2.0
# Uses from which a mapping costs no more than reading, against size: reading
# into a buffer that the program has anyway, and into one made for it.
load 'plots/style.gp'

kind(p) = '--measure=breakeven --metric='.(p ? 'k_fresh ' : 'k ')
head(p) = p ? 'read into a fresh buffer' : 'read into a buffer that is reused'

titles = about('titles', own.kind(0))
if (words(titles) == 0) { exit message 'breakeven: not in this run' }

set label 1 'Break-even: uses from which a mapping costs no more than read: '.provider_name
set label 3 'Median of the k of '.(boots eq '1' ? about('blocks', own.kind(0)).' blocks' : boots.' boots').', from the phases of `pass`'.spread
if (counted) { set label 4 no_copies.' This chart is no ground for a choice.' }

# Never is a line above all that is finite
top = about('max', own.kind(0)) + 0
never = 10**ceil(log10(top < 10 ? 10 : top * 1.5)) * 4
clip(k) = k > never ? never : k

eval size_axis(about('sizes', own.kind(0)))
do for [i = 6:18] { set xtics add (size_name(4.0**i) 4.0**i) }
set xlabel 'bytes per use'
set logscale y
set yrange [0.7:never * 1.6]
set ytics ('' 1)
do for [i = 0:log10(never / 4)] { set ytics add (sprintf('%.0f', 10.0**i) 10**i) }
set ytics add ('never' never)
set arrow 1 from graph 0, first never to graph 1, first never nohead dt (2, 4) lc rgb '#555555'

# Methods side by side: the same k must not hide one behind the other
step = words(titles) > 6 ? 0.6 / words(titles) : 0.09
apart(i) = 1 + step * (i - (words(titles) + 1) / 2.0)

set multiplot
do for [p = 0:1] {
	set lmargin at screen p ? 0.44 : 0.085
	set rmargin at screen p ? 0.745 : 0.39
	set title head(p)
	set ylabel p ? '' : 'uses of one mapping'
	if (p) { unset key; unset label }
	plot for [i = 1:words(titles)] series(own.kind(p)) index i - 1 \
		using ($1 * apart(i)):(clip($2)):(clip($3)):(clip($4)) \
		with yerrorlines ls look(word(titles, i)) title word(titles, i)
}
unset multiplot
