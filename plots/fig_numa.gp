# SPDX-License-Identifier: GPL-2.0
# A buffer on one node, a thread on a CPU of another: each pair, as a heat map.
load 'plots/style.gp'

nodes = run('--get=memory.numa_nodes') + 0
cells = '--measure=numa '
if (nodes < 2 || about('blocks', own.cells) eq '0') { exit message 'numa: not in this run' }

# A copy and three of a mapping; each at the largest size that it has
array what[4] = ['one dependent load', 'consumed in place', 'the copy alone', 'one dependent load']
array metric[4] = ['load', 'reuse', 'copy', 'load']
array of[4]
if (provider eq 'k2u') {
	of[1] = '--method=vmalloc '; of[2] = '--method=vmalloc '
	of[3] = '--method=read --backing=vmalloc '; of[4] = '--method=pfn --backing=contig '
} else {
	of[1] = '--method=fault --backing=memfd '; of[2] = '--method=fault --backing=memfd '
	of[3] = '--method=read --backing=memfd '; of[4] = '--method=anon --backing=4k '
}

pair(i, c, m) = '--provider='.provider.' '.of[i].cells.'--metric='.sprintf('%s_c%dm%d ', metric[i], c, m)
# Of a data set: the title, then x, median, low, high
median(i, c, m) = system('"$K2U_STAT" series --short --size='.at[i].' '.pair(i, c, m). \
	'"$K2U_RUN" | awk ''!/^"/ && NF { print $2; exit }''')
array at[4]
array name[4]
do for [i = 1:4] {
	list = ''
	title = ''
	do for [c = 0:nodes - 1] {
		do for [m = 0:nodes - 1] {
			if (list eq '') {
				list = about('sizes', pair(i, c, m))
				title = word(about('titles', pair(i, c, m)), 1)
			}
		}
	}
	at[i] = word(list, words(list))
	name[i] = title
}

set label 1 'Memory on one node, the thread on another: '.provider_name
set label 3 'Medians of '.medians(about('blocks', own.cells)).'; their intervals are in summary.csv. Firmware distances: env.json.'
if (counted) { set label 4 'Instructions are counted here, and they are the same on all nodes: this shows that the measurement works, and nothing of distance.' }

set multiplot
set title offset 0, -0.6
unset grid
unset key
unset colorbox
set palette defined (0 '#F7FBFF', 1 '#6BAED6')
set tics scale 0
set xrange [-0.5:nodes - 0.5]
set yrange [nodes - 0.5:-0.5]
set xtics 0, 1
set ytics 0, 1
set xlabel 'node of the memory' offset 0, 0.5
set ylabel 'node of the CPU' offset 1
do for [i = 1:4] {
	left = i % 2 == 1
	set lmargin at screen left ? 0.075 : 0.555
	set rmargin at screen left ? 0.445 : 0.925
	set tmargin at screen i < 3 ? 0.86 : 0.485
	set bmargin at screen i < 3 ? 0.6 : 0.225
	set title name[i].': '.what[i].(at[i] eq '' ? '' : ', '.size_text(at[i] + 0)).', '. \
		(metric[i] eq 'load' ? (counted ? 'instructions' : 'ns') : (counted ? 'B/instruction' : 'GB/s'))
	if (at[i] eq '') {
		set label 9 'not measured' at graph 0.5, 0.5 center
		plot NaN notitle
	} else {
		least = NaN
		most = NaN
		set print $map
		do for [c = 0:nodes - 1] {
			do for [m = 0:nodes - 1] {
				v = median(i, c, m)
				if (v ne '') {
					print m, c, v + 0
					least = v < least || least != least ? v + 0 : least
					most = v > most || most != most ? v + 0 : most
				}
			}
		}
		set print
		# Of the same value everywhere there is one colour, in the middle
		same = most <= least * 1.02
		set cbrange [same ? 0 : least:same ? 2 * most : most]
		plot $map using 1:2:($1 - 0.48):($1 + 0.48):($2 - 0.48):($2 + 0.48):3 with boxxyerror fs solid 1 noborder lc palette, \
			$map using 1:2:(sprintf('%.3g', $3)) with labels font small_font
	}
	unset label
}
unset multiplot
