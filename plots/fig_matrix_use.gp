# SPDX-License-Identifier: GPL-2.0
# What a mapping costs on each kernel of a campaign, phase by phase and in all:
# a row per size.
load 'plots/campaign.gp'

# Where string instructions are counted, a copy says nothing
mine = counted ? 'fault,pfn,vmalloc' : 'read,fault,pfn,vmalloc'
of(metric) = '--measure=throughput --metric='.metric.' --provider='.provider.' --method='.mine.' '
plain(metric) = '--measure=throughput --metric='.metric.' --provider=tree --method=anon --backing=4k '
# As many uses as were measured end to end
uses = 0
do for [k = 16:1:-1] { if (uses == 0 && words(fact('sizes', of('e2e_'.k))) > 0) { uses = k } }
whole = 'e2e_'.uses
list = fact('sizes', of(whole))
if (words(list) == 0) { exit message 'matrix_use: nothing of this in the campaign' }

# The largest of at most 64 KiB, and the largest
medium = word(list, 1)
do for [i = 1:words(list)] { if (word(list, i) + 0 <= 2**16) { medium = word(list, i) } }
phases = 'setup first-touch teardown'
names = '"set up" "first pass over" "tear down"'
do for [row = 0:1] {
	bytes = row ? word(list, words(list)) : medium
	size = '--size='.bytes.' '
	do for [i = 1:4] { divide[4 * row + i] = bytes > page ? bytes / page : 1 }
	do for [i = 1:3] {
		what[4 * row + i] = word(names, i).' '.size_text(bytes + 0)
		cells[4 * row + i] = of('pass').size.'--phase='.word(phases, i).' '
		base[4 * row + i] = plain('pass').size.'--phase='.word(phases, i).' '
	}
	what[4 * row + 4] = 'each of '.uses.' uses of '.size_text(bytes + 0)
	cells[4 * row + 4] = of(whole).size
	base[4 * row + 4] = plain(whole).size
}

unit = unit.' per page'
set label 1 'Use of a fresh mapping from kernel to kernel: '.provider_name
load 'plots/panels.gp'
