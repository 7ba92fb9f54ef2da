# SPDX-License-Identifier: GPL-2.0
# Records that the kernel keeps producing, the module's ring and its rivals: cost
# of a record against its size, and where two CPUs were there percentiles of latency.
load 'plots/style.gp'

cells(metric) = '--measure=stream --metric='.metric.' '
timed = about('blocks', cells('latency_spin,latency_poll')) ne '0'
metrics = timed ? 'produce_64 consume_64 latency_spin latency_poll' : 'produce_64 consume_64 produce_1 wake_1'
what(metric) = metric eq 'produce_64' ? 'producing one, 64 by a call' : \
	metric eq 'consume_64' ? 'consuming one, 64 at a time' : \
	metric eq 'produce_1' ? 'producing one by a call' : \
	metric eq 'wake_1' ? 'one whose consumer is woken, same CPU' : \
	metric eq 'latency_spin' ? 'due to read, consumer spins, ' : 'due to read, consumer sleeps, '

all = cells('produce_64,consume_64'.(timed ? ',latency_spin,latency_poll' : ',produce_1,wake_1'))
if (about('blocks', all) eq '0') { exit message 'stream: not in this run' }
legend = about('titles', all)

# A line for each source, not for each method
line(t) = t eq 'ring (vmalloc)' ? 40 : t eq 'stream_read (vmalloc)' ? 10 : t eq 'ring_eventfd (vmalloc)' ? 41 : \
	t eq 'ring (bpf-ringbuf)' ? 20 : t eq 'ring (perf-ring)' ? 30 : \
	t eq 'stream_read (trace-pipe)' ? 110 : \
	t eq 'null (bpf-run)' ? 60 : t eq 'flag (shm)' ? 50 : 70
name(t) = t eq 'ring (vmalloc)' ? 'k2u ring' : t eq 'stream_read (vmalloc)' ? 'k2u read()' : \
	t eq 'ring_eventfd (vmalloc)' ? 'k2u ring, eventfd' : \
	t eq 'ring (bpf-ringbuf)' ? 'BPF ring buffer' : t eq 'ring (perf-ring)' ? 'perf ring buffer' : \
	t eq 'stream_read (trace-pipe)' ? 'ftrace, a write() for each' : \
	t eq 'null (bpf-run)' ? 'BPF run, no output' : t eq 'flag (shm)' ? 'flag, no kernel' : t

# Of records from another core where there are such, else from the sibling
other = about('blocks', cells('latency_spin').'--phase=other') ne '0'
place = timed ? '--phase='.(other ? 'other' : 'sibling').' ' : ''
# The smallest record, which all have
small = word(about('sizes', all), 1)

set label 1 'Records that the kernel keeps producing'
if (timed) {
	set label 3 interval(about('blocks', cells('produce_64'))).' Latency: n = '.about('samples', cells('latency_spin,latency_poll').place.'--size='.small).'.'
} else {
	set label 3 interval(about('blocks', all))
}
if (counted) { set label 4 'One CPU: no latency from one to another. Copies, as into each ring and by read(), are counted per iteration of string instructions.' }

set multiplot
set logscale y
if (counted) {
	set format y '%.0s%c'
} else {
	do for [i = 0:9] { set ytics add (time_text(10**i) 10**i * (1 + 1e-9)) }
}
set title offset 0, -0.6
n = 0
do for [metric in metrics] {
	left = n % 2 == 0
	upper = n < 2
	set lmargin at screen left ? 0.075 : 0.455
	set rmargin at screen left ? 0.405 : 0.785
	set tmargin at screen upper ? 0.86 : 0.495
	set bmargin at screen upper ? 0.605 : 0.24
	single = metric[1:7] eq 'latency'
	# By read() they are produced as for the ring
	produced = metric[1:7] eq 'produce'
	mine = cells(metric).(single ? place.'--size='.small.' ' : produced ? '--method=ring,ring_eventfd,null ' : '')
	titles = about('titles', mine)
	traced = cells(metric).'--provider=tree --method=stream_read '
	last = words(titles)
	titles = titles.(produced ? ' '.about('titles', traced) : '')
	set title what(metric).(single ? size_text(small + 0).(other ? ', other core' : ', sibling') : '')
	set ylabel (left && counted ? 'instructions' : '') offset 1
	unset logscale x
	unset xtics
	if (single) {
		unset xlabel
		set xrange [-0.3:4.3]
		set xtics ('p50' 0, 'p90' 1, 'p99' 2, 'p99.9' 3, 'max' 4)
	} else {
		set xlabel 'bytes of a record' offset 0, 0.6 font small_font
		eval size_axis(about('sizes', mine) eq '' ? '64 1024' : about('sizes', mine))
		do for [i = 6:16:2] { set xtics add (size_name(2.0**i) 2.0**i) }
	}
	if (words(titles) == 0) {
		set label 9 'not measured' at graph 0.5, 0.5 center
		set yrange [1:10]
		plot NaN notitle
		unset label 9
		set yrange [*:*]
	} else {
		plot for [i = 1:words(titles)] \
			series((single ? '--x=percentile ' : '').(i > last ? traced : mine)) index (i > last ? i - last : i) - 1 \
			using 1:2:3:4 with yerrorlines ls line(word(titles, i)) notitle
	}
	unset label
	n = n + 1
}

# The legend has a place of its own
unset border
unset tics
unset title
unset ylabel
unset xlabel
unset logscale
set lmargin at screen 0.79
set rmargin at screen 0.99
set tmargin at screen 0.86
set bmargin at screen 0.24
set key at screen legend_x, 0.86 left top
set xrange [0:1]
set yrange [0:1]
plot for [i = 1:words(legend)] keyentry with linespoints ls line(word(legend, i)) \
	title name(word(legend, i)), NaN notitle
unset multiplot
