/* SPDX-License-Identifier: GPL-2.0 */
/*
 * copy.h - copies that take more than one system call on the file: hooks of
 * struct source_ops, and why a system has not what they need.
 */
#ifndef COPY_H
#define COPY_H

#include "bench.h"

/* copy_splice.c: by a pipe, and on by a socket */
int splice_arm(struct use *u);
ssize_t splice_copy(struct use *u, size_t len, off_t off);
bool splice_socket_absent(char *why, size_t len);
int splice_socket_arm(struct use *u);
ssize_t splice_socket_copy(struct use *u, size_t len, off_t off);

/* copy_uring.c: by io_uring */
bool uring_absent(char *why, size_t len);
int uring_arm(struct use *u);
ssize_t uring_copy(struct use *u, size_t len, off_t off);
int uring_fixed_arm(struct use *u);
void uring_fixed_disarm(struct use *u);
bool uring_fixed_stale(const struct source *s, uint64_t size, char *why,
		       size_t len);
ssize_t uring_fixed_copy(struct use *u, size_t len, off_t off);
bool uring_cmd_absent(char *why, size_t len);
int uring_cmd_arm(struct use *u);
ssize_t uring_cmd_copy(struct use *u, size_t len, off_t off);

#endif /* COPY_H */
