# SPDX-License-Identifier: GPL-2.0
# Faults that touching every page must take, and those that three counters saw.
load 'plots/style.gp'

counters = 'expected,minor_rusage,minor_perf,minor_module'
cells = '--measure=faults --metric='.counters.' '

sizes = about('sizes', own.cells)
if (words(sizes) == 0) { exit message 'faults: not in this run' }
titles = about('titles', own.cells).about('titles', anon.cells)
rows = words(titles)

set label 1 'Minor faults of a first pass over all pages: '.provider_name
set label 3 'Medians of '.medians(about('blocks', own.cells)).'; counts are exact, so their intervals have no width unless drawn.'
if (provider eq 'k2u') { set label 4 'The module counts what its own ->fault served: of a copy it sees none, they are of the destination; of a pinned one perf has no event.' tc rgb '#333333' }

# The largest size that most methods have
pages(i) = about('titles', own.cells.'--size='.word(sizes, i).' ')
best = 1
do for [i = 1:words(sizes)] { if (words(pages(i)) >= words(pages(best))) { best = i } }
at = '--size='.word(sizes, best).' '
page = run('--get=memory.page_size') + 0
if (page <= 0) { page = 4096 }
set title sprintf('%s, %d pages of %s', size_text(word(sizes, best) + 0), \
	word(sizes, best) / page, size_text(page))

# Counts from 0 to many: log10(1 + n)
set nonlinear x via log10(1 + x) inverse 10**x - 1
set xtics (0, 1, 10, 100, 1000, 10000, 100000, 1000000)
set xrange [0:6 * about('max', own.cells.at) + 6]
set xlabel 'faults (scale: log(1 + n))'
set yrange [rows + 0.6:0.4]
set ytics scale 0 ('' 1) font small_font
do for [i = 1:rows] { set ytics add (word(titles, i) i) }
set grid noytics
set style fill solid 1 noborder
set lmargin at screen 0.18
set rmargin at screen 0.785
set key at screen legend_x, 0.855 left top samplen 1.5

# Columns: expected 2, then the counters 5, 8, 11 with their intervals
bar(l) = place(strcol(1), titles) + l * 0.36
who_all = 'own'.(about('blocks', anon.cells.at) eq '0' ? '' : ' anon')
data(who) = table((who eq 'own' ? own : anon).cells.at.'--cols=metric ')
plot for [who in who_all] data(who) using (0):(0):(0):2:(bar(-1)):(bar(1)) \
		with boxxy lc rgb phase_3 title who eq 'own' ? 'expected' : '', \
	for [who in who_all] data(who) using 5:(bar(0)):6:7 \
		with xerrorbars lc rgb '#D55E00' lw 1.4 pt 6 ps 1.6 title who eq 'own' ? 'getrusage' : '', \
	for [who in who_all] data(who) using 8:(bar(0)):9:10 \
		with xerrorbars lc rgb '#0072B2' lw 1.4 pt 1 ps 1.2 title who eq 'own' ? 'perf event' : '', \
	for [i = 1:(provider eq 'k2u')] data('own') using 11:(bar(0)):12:13 \
		with xerrorbars lc rgb '#000000' lw 1.4 pt 2 ps 0.9 title 'k2u.ko', \
	for [who in who_all] data(who) using (0.5 + 1.5 * $2):(bar(0)):(sprintf('%d', $2)) \
		with labels left notitle
