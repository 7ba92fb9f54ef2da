# SPDX-License-Identifier: GPL-2.0
# What single operations cost on each kernel of a campaign: a panel per metric.
load 'plots/campaign.gp'

of(metric) = '--measure=latency --metric='.metric.' --provider='.provider.' '
plain(metric) = '--measure=latency --metric='.metric.' --provider=tree --method=anon --backing=4k '
list = fact('sizes', of('mmap'))
many = words(list) ? word(list, words(list)) : '0'
small = '--size='.page.' '
large = '--size='.many.' '
in_all = size_text(many + 0)

what[1] = 'pread of 64 B'
cells[1] = of('read').'--size=64 '
what[2] = 'open, each backing'
cells[2] = of('open')
what[3] = 'close'
cells[3] = of('close')
what[4] = 'mmap of a page'
cells[4] = of('mmap').small
base[4] = plain('mmap').small
what[5] = 'mmap, per page of '.in_all
cells[5] = of('mmap').large.'--method=pfn,vmalloc,insert,populate '
divide[5] = many / page
what[6] = 'first load from a page'
cells[6] = of('touch').large.'--method=fault,fault_vma_lock,fault_around,fault_pfn,fault_around_pfn '
base[6] = plain('touch').large
what[7] = 'munmap of a page, touched'
cells[7] = of('munmap').small
base[7] = plain('munmap').small
what[8] = 'munmap, per page of '.in_all
cells[8] = of('munmap').large.'--method=fault,pfn,vmalloc '
base[8] = plain('munmap').large
divide[8] = many / page

set label 1 'Latency from kernel to kernel: '.provider_name
load 'plots/panels.gp'
