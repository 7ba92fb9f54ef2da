# SPDX-License-Identifier: GPL-2.0
# One look for all charts, and the way to the data.
#
# scripts/report.sh sets, in the environment: K2U_STAT (the program), K2U_RUN (a
# summarised run), K2U_PROVIDER (k2u or tree), K2U_METHODS (those to show, with
# commas), K2U_TERM (svg or png), K2U_OUT (the chart). All text comes from runs,
# so no text is markup (noenhanced).

# A chart that needs more room sets width and height first
if (!exists('width')) { width = 1000; height = 920 }

env(name) = system('printf %s "$'.name.'"')
provider = env('K2U_PROVIDER')

# Data sets, and facts about the same cells: titles, sizes, blocks, samples
series(cells) = '< "$K2U_STAT" series --short '.cells.' "$K2U_RUN"'
about(what, cells) = system('"$K2U_STAT" series --short --print='.what.' '.cells.' "$K2U_RUN"')
table(cells) = '< "$K2U_STAT" table --short --format=dat '.cells.' "$K2U_RUN"'
run(what) = system('"$K2U_STAT" env '.what.' "$K2U_RUN"')

# The provider's methods; plain anonymous memory to hold them against
methods = '--method='.env('K2U_METHODS')
own = '--provider='.provider.' '.methods.' '
anon = '--provider=tree --method=anon '

counted = run('--get=venue') eq 'icount'

if (env('K2U_TERM') eq 'svg') {
	# Its sizes are pixels, those of PNG points
	set terminal svg size width,height dynamic noenhanced background '#ffffff' \
		font 'DejaVu Sans,Verdana,sans-serif,12.5'
	heading_font = ',17'
	small_font = ',12'
} else {
	set terminal pngcairo size width,height noenhanced font 'DejaVu Sans,9.5'
	heading_font = ',13'
	small_font = ',9'
}
set output env('K2U_OUT')

# A colour and a point for each method (Okabe and Ito's palette), the same in
# every chart; a method's second backing is dashed, its points open; its third, dotted.
third(t) = t eq 'fault (bpf-array)' || (words(t) > 1 && \
	strstrt('(huge) (dma) (contig-wc) (contig-uc)', word(t, 2)) > 0)
second(t) = words(t) > 1 && strstrt('(contig) (perf-ring) (thp)', word(t, 2)) > 0
method(t) = word(t, 1)
look(t) = second(t) + 2 * third(t) + ( \
	method(t) eq 'read' ? 10 : method(t) eq 'fault' ? 20 : method(t) eq 'pfn' ? 30 : \
	method(t) eq 'vmalloc' ? 40 : method(t) eq 'anon' ? 50 : method(t) eq 'null' ? 60 : \
	method(t) eq 'insert' ? 110 : method(t) eq 'fault_around' ? 120 : \
	method(t) eq 'fault_pfn' ? 130 : method(t) eq 'populate' ? 140 : \
	method(t) eq 'ioctl' ? 150 : method(t) eq 'pin' ? 160 : \
	method(t) eq 'devmem' ? 170 : method(t) eq 'kmem' ? 180 : \
	method(t) eq 'splice' ? 190 : method(t) eq 'splice_socket' ? 200 : \
	method(t) eq 'uring' ? 210 : method(t) eq 'uring_fixed' ? 220 : \
	method(t) eq 'uring_cmd' ? 230 : method(t) eq 'read_huge' ? 240 : \
	method(t) eq 'populate_read' ? 250 : method(t) eq 'dmabuf' ? 260 : \
	method(t) eq 'huge' ? 270 : \
	method(t) eq 'dma' ? 280 : method(t) eq 'fault_vma_lock' ? 290 : \
	method(t) eq 'fault_around_pfn' ? 300 : 70)
set style line 10 lc rgb '#D55E00' lw 1.6 pt  7 ps 0.7 dt 1
set style line 11 lc rgb '#D55E00' lw 1.6 pt  6 ps 0.8 dt (6,4)
set style line 12 lc rgb '#D55E00' lw 1.6 pt  3 ps 0.8 dt (2,3)
set style line 20 lc rgb '#0072B2' lw 1.6 pt  5 ps 0.7 dt 1
set style line 21 lc rgb '#0072B2' lw 1.6 pt  4 ps 0.8 dt (6,4)
set style line 22 lc rgb '#0072B2' lw 1.6 pt  3 ps 0.8 dt (2,3)
set style line 30 lc rgb '#009E73' lw 1.6 pt  9 ps 0.8 dt 1
set style line 31 lc rgb '#009E73' lw 1.6 pt  8 ps 0.9 dt (6,4)
set style line 32 lc rgb '#009E73' lw 1.6 pt  3 ps 0.8 dt (2,3)
set style line 40 lc rgb '#CC79A7' lw 1.6 pt 13 ps 0.9 dt 1
set style line 41 lc rgb '#CC79A7' lw 1.6 pt 12 ps 1.0 dt (6,4)
set style line 50 lc rgb '#000000' lw 1.2 pt 11 ps 0.7 dt 1
set style line 51 lc rgb '#000000' lw 1.2 pt 10 ps 0.8 dt (6,4)
set style line 60 lc rgb '#888888' lw 1.2 pt  1 ps 0.7 dt 1
set style line 70 lc rgb '#999933' lw 1.6 pt  2 ps 0.7 dt 1
set style line 71 lc rgb '#999933' lw 1.6 pt  3 ps 0.7 dt (6,4)
set style line 110 lc rgb '#E69F00' lw 1.6 pt  2 ps 0.7 dt 1
set style line 111 lc rgb '#E69F00' lw 1.6 pt  3 ps 0.7 dt (6,4)
set style line 120 lc rgb '#56B4E9' lw 1.6 pt  5 ps 0.7 dt 1
set style line 121 lc rgb '#56B4E9' lw 1.6 pt  4 ps 0.8 dt (6,4)
set style line 130 lc rgb '#332288' lw 1.6 pt  9 ps 0.8 dt 1
set style line 131 lc rgb '#332288' lw 1.6 pt  8 ps 0.9 dt (6,4)
set style line 140 lc rgb '#882255' lw 1.6 pt 13 ps 0.9 dt 1
set style line 141 lc rgb '#882255' lw 1.6 pt 12 ps 1.0 dt (6,4)
set style line 150 lc rgb '#8C510A' lw 1.6 pt  7 ps 0.7 dt 1
set style line 151 lc rgb '#8C510A' lw 1.6 pt  6 ps 0.8 dt (6,4)
set style line 152 lc rgb '#8C510A' lw 1.6 pt  3 ps 0.8 dt (2,3)
set style line 160 lc rgb '#44AA99' lw 1.6 pt  5 ps 0.7 dt 1
set style line 161 lc rgb '#44AA99' lw 1.6 pt  4 ps 0.8 dt (6,4)
set style line 162 lc rgb '#44AA99' lw 1.6 pt  3 ps 0.8 dt (2,3)
set style line 170 lc rgb '#AA4499' lw 1.6 pt  9 ps 0.8 dt 1
set style line 171 lc rgb '#AA4499' lw 1.6 pt  8 ps 0.9 dt (6,4)
set style line 180 lc rgb '#661100' lw 1.6 pt 13 ps 0.9 dt 1
set style line 181 lc rgb '#661100' lw 1.6 pt 12 ps 1.0 dt (6,4)
set style line 190 lc rgb '#117733' lw 1.6 pt  9 ps 0.8 dt 1
set style line 191 lc rgb '#117733' lw 1.6 pt  8 ps 0.9 dt (6,4)
set style line 192 lc rgb '#117733' lw 1.6 pt  3 ps 0.8 dt (2,3)
set style line 200 lc rgb '#66A61E' lw 1.6 pt 13 ps 0.8 dt 1
set style line 201 lc rgb '#66A61E' lw 1.6 pt 12 ps 0.9 dt (6,4)
set style line 202 lc rgb '#66A61E' lw 1.6 pt  3 ps 0.8 dt (2,3)
set style line 210 lc rgb '#7570B3' lw 1.6 pt  7 ps 0.8 dt 1
set style line 211 lc rgb '#7570B3' lw 1.6 pt  6 ps 0.9 dt (6,4)
set style line 212 lc rgb '#7570B3' lw 1.6 pt  3 ps 0.8 dt (2,3)
set style line 220 lc rgb '#4A1486' lw 1.6 pt  5 ps 0.8 dt 1
set style line 221 lc rgb '#4A1486' lw 1.6 pt  4 ps 0.9 dt (6,4)
set style line 222 lc rgb '#4A1486' lw 1.6 pt  3 ps 0.8 dt (2,3)
set style line 230 lc rgb '#A6761D' lw 1.6 pt  9 ps 0.8 dt 1
set style line 231 lc rgb '#A6761D' lw 1.6 pt  8 ps 0.9 dt (6,4)
set style line 232 lc rgb '#A6761D' lw 1.6 pt  3 ps 0.8 dt (2,3)
set style line 240 lc rgb '#E7298A' lw 1.6 pt  7 ps 0.8 dt 1
set style line 241 lc rgb '#E7298A' lw 1.6 pt  6 ps 0.9 dt (6,4)
set style line 242 lc rgb '#E7298A' lw 1.6 pt  3 ps 0.8 dt (2,3)
set style line 250 lc rgb '#0D98BA' lw 1.6 pt 13 ps 0.8 dt 1
set style line 251 lc rgb '#0D98BA' lw 1.6 pt 12 ps 0.9 dt (6,4)
set style line 260 lc rgb '#F0027F' lw 1.6 pt  5 ps 0.7 dt 1
set style line 261 lc rgb '#F0027F' lw 1.6 pt  4 ps 0.8 dt (6,4)
set style line 270 lc rgb '#6A3D9A' lw 1.6 pt 15 ps 0.7 dt 1
set style line 272 lc rgb '#6A3D9A' lw 1.6 pt 15 ps 0.7 dt 1
set style line 280 lc rgb '#B15928' lw 1.6 pt 9 ps 0.8 dt 1
set style line 282 lc rgb '#B15928' lw 1.6 pt 9 ps 0.8 dt 1
set style line 290 lc rgb '#4D9DE0' lw 1.6 pt 15 ps 0.7 dt 1
set style line 291 lc rgb '#4D9DE0' lw 1.6 pt 14 ps 0.8 dt (6,4)
set style line 300 lc rgb '#7A9A01' lw 1.6 pt 13 ps 0.9 dt 1
set style line 301 lc rgb '#7A9A01' lw 1.6 pt 12 ps 1.0 dt (6,4)

# Phases, dark to light in the order of a mapping's life, then grey
phase_1 = '#08519C'
phase_2 = '#4292C6'
phase_3 = '#C6DBEF'
phase_4 = '#969696'
set style line 1 lc rgb phase_1
set style line 2 lc rgb phase_2
set style line 3 lc rgb phase_3
set style line 4 lc rgb phase_4

set style line 90 lc rgb '#DDDDDD' lw 0.8
set style line 91 lc rgb '#555555' lw 1
set grid back ls 90
set border 3 ls 91
set tics nomirror textcolor rgb '#222222'
set key reverse Left samplen 2 spacing 0.82 font small_font

# Sizes as tick labels, and as text
size_name(b) = b < 1024 ? sprintf('%d', b) : b < 2**20 ? sprintf('%dK', b / 1024) : \
	b < 2**30 ? sprintf('%dM', b / 2**20) : sprintf('%dG', b / 2**30)
size_text(b) = b < 1024 ? sprintf('%d B', b) : b < 2**20 ? sprintf('%d KiB', b / 1024) : \
	b < 2**30 ? sprintf('%d MiB', b / 2**20) : sprintf('%d GiB', b / 2**30)

# The unit that suits an axis which ends at top: what to divide by, and its name
divisor(top) = top >= 3e9 ? 1e9 : top >= 3e6 ? 1e6 : top >= 3e3 ? 1e3 : 1
divided(d) = counted ? (d == 1e9 ? '10^9 ' : d == 1e6 ? '10^6 ' : d == 1e3 ? '10^3 ' : '').'instructions' : \
	(d == 1e9 ? 's' : d == 1e6 ? 'ms' : d == 1e3 ? 'µs' : 'ns')

time_text(ns) = ns >= 1e9 ? sprintf('%g s', ns / 1e9) : ns >= 1e6 ? sprintf('%g ms', ns / 1e6) : \
	ns >= 1e3 ? sprintf('%g µs', ns / 1e3) : sprintf('%g ns', ns)

# Place of text t in a list, from 1
place(t, list) = (found = 0, sum [i = 1:words(list)] (word(list, i) eq t ? (found = i, 0) : 0), found)

provider_name = provider eq 'k2u' ? 'k2u.ko' : 'in-tree facilities'

# The heading, and under the chart where its figures come from
set label 1 '' at screen 0.012, 0.955 left font heading_font
set label 2 run('--caption') at screen 0.012, 0.062 left font small_font tc rgb '#333333'
set label 3 '' at screen 0.012, 0.025 left font small_font tc rgb '#333333'
set label 4 '' at screen 0.012, 0.099 left font small_font tc rgb '#AA3300'
# Of blocks where the run has one boot, of boots where it has more
boots = about('boots', '')
medians(n) = boots eq '1' ? n.' block medians' : boots.' boot medians'
spread = '; bars: distribution-free interval of it, 95 % or more, '.(boots eq '1' ? 'within this boot.' : 'over boots.')
interval(n) = 'Median of '.medians(n).spread
no_copies = 'Copies: string instructions are counted per iteration here, so `read` says nothing about hardware.'

# A logarithmic axis of sizes from the first to the last of a list
size_axis(list) = sprintf("set logscale x 2; set xrange [%g:%g]; set xtics ('' 1)", \
	word(list, 1) / 1.5, word(list, words(list)) * 1.5)

# Panels stand left of the legend
set tmargin at screen 0.855
set bmargin at screen counted ? 0.235 : 0.21
legend_x = 0.79
set key at screen legend_x, 0.855 left top
