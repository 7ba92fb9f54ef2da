// SPDX-License-Identifier: GPL-2.0
/*
 * splice_socket: the splice_read of splice; from the pipe user space splices the
 * pages on to a socket, which takes them as fragments of its buffers.
 */
#include "k2u_mod.h"

const struct k2u_method_ops k2u_method_splice_socket = {};
