# SPDX-License-Identifier: GPL-2.0
# The objects of build/k2u-get
GET_OBJS := get.o access_copy.o access_map.o access_null.o bpf.o config.o consume.o \
	copy_splice.o copy_uring.o devmem.o options.o provider_k2u.o provider_tree.o \
	source.o sys.o
