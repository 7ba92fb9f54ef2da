# SPDX-License-Identifier: GPL-2.0
# A campaign: a run per kernel, and its matrix.csv. Loaded first by the charts
# of one, which end with plots/panels.gp.
#
# K2U_MATRIX is the campaign's directory; K2U_RUN one of its runs, whose venue is
# that of all.
width = 1000
height = 640
load 'plots/style.gp'

campaign(what, cells) = '"$K2U_STAT" matrix --saved '.what.cells.' "$K2U_MATRIX"'
fact(what, cells) = system(campaign('--print='.what.' ', cells))
# Columns: kernel 1, median and interval 2 to 4, slower 8, faster 9
curve(cells) = '< '.campaign('--format=dat ', cells)

kernels = fact('kernels', '')
gaps = fact('gaps', '')
unit = counted ? 'instructions' : 'ns'
page = run('--get=memory.page_size') + 0
if (page <= 0) { page = 4096 }

# Panels, in two rows of four: title, cells, those of plain memory to hold them
# against, operations of this size
n = 8
array what[n]
array cells[n]
array base[n]
array divide[n]
do for [i = 1:n] { what[i] = ''; cells[i] = ''; base[i] = ''; divide[i] = 1 }

caption = (counted ? 'icount: guest instructions per operation, no hardware time. ' : run('--get=venue').'. ').'Medians of '.fact('boots', '').' boots; bars: distribution-free interval, 95 % or more.'.(words(gaps) ? ' Not measured: '.gaps : '')

kernel_axis = sprintf('set xrange [0.6:%d.4]; set xtics ', words(kernels)). \
	(words(kernels) > 4 ? 'rotate by 45 right ' : '').'("" 1); '. \
	'do for [i = 1:words(kernels)] { set xtics add (word(kernels, i) i) }'

panel_place(i) = sprintf('set lmargin at screen %g; set rmargin at screen %g; ', \
	0.066 + (i - 1) % 4 * 0.19, 0.066 + (i - 1) % 4 * 0.19 + 0.14). \
	(i <= 4 ? 'set tmargin at screen 0.880; set bmargin at screen 0.590' : \
		'set tmargin at screen 0.485; set bmargin at screen 0.195')

# The legend has a place of its own: gnuplot fits one into its panel's height
legend_place = 'unset border; unset tics; unset title; unset ylabel; unset logscale; '. \
	'set lmargin at screen 0.79; set rmargin at screen 0.99; '. \
	'set tmargin at screen 0.88; set bmargin at screen 0.195; '. \
	'set key at screen 0.79, 0.88 left top samplen 2; set xrange [0:1]; set yrange [0:1]'
