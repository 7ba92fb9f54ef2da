// SPDX-License-Identifier: GPL-2.0
/* The fuzzer's operations on files: opened, shared, copied from and to. */
#include <limits.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "fuzz.h"

#define PREAD_PAGES 4 /* the most that a copy moves, so that it is quick */

static void slot_close(struct slot *s)
{
	struct file *f = s->file;

	if (s->fd >= 0 && close(s->fd))
		wrong("close: %s", strerror(errno));
	s->fd = -1;
	s->file = NULL;
	if (f) {
		f->fds--;
		file_put(f);
	}
}

void op_open(const struct op *op)
{
	static const int also[] = { O_NONBLOCK, O_APPEND,	 O_TRUNC,
				    O_SYNC,	O_NOFOLLOW,	 O_NOATIME,
				    O_ASYNC,	O_DIRECT,	 O_DIRECTORY,
				    O_PATH,	O_CREAT | O_EXCL };
	static const int modes[] = { O_RDWR,   O_RDWR,	 O_RDWR, O_RDWR,
				     O_RDWR,   O_RDWR,	 O_RDWR, O_RDWR,
				     O_RDWR,   O_RDWR,	 O_RDWR, O_RDONLY,
				     O_WRONLY, O_ACCMODE };
	const int mode = modes[op->a % ARRAY_SIZE(modes)];
	const int flag = op->b % 8 ? 0 : also[op->b / 8 % ARRAY_SIZE(also)];
	struct slot *s = &slots[op->slot];
	struct expect e = { 0 };
	long fd;

	if (in_child)
		return;
	slot_close(s);
	must(&e, flag == O_DIRECT, EINVAL);
	must(&e, flag == O_DIRECTORY, ENOTDIR);
	must(&e, flag == (O_CREAT | O_EXCL), EEXIST);
	fd = CALL(open, K2U_DEVICE, mode | flag | O_CLOEXEC, 0600);
	if (!judge(&e, "open", fd))
		return;
	s->fd = (int)fd;
	if (flag == O_PATH)
		return;
	s->file = file_new(mode == O_RDWR || mode == O_RDONLY,
			   mode == O_RDWR || mode == O_WRONLY);
	if (s->file)
		s->file->fds = 1;
	else
		slot_close(s);
}

void op_close(const struct op *op)
{
	if (!in_child && op->a % 4 == 0)
		slot_close(&slots[op->slot]);
}

void op_dup(const struct op *op)
{
	struct slot *from = &slots[op->slot], *to = &slots[op->a % NSLOTS];
	struct expect e = { 0 };
	long fd;

	if (in_child || from == to || from->fd < 0)
		return;
	fd = CALL(fcntl, from->fd, op->b % 2 ? F_DUPFD : F_DUPFD_CLOEXEC,
		  op->c % 64);
	if (!judge(&e, "fcntl (F_DUPFD)", fd))
		return;
	slot_close(to);
	*to = (struct slot){ (int)fd, from->file };
	if (to->file)
		to->file->fds++;
}

/* What the device has no operation for, and what every file has */
void op_misc(const struct op *op)
{
	const struct slot *s = &slots[op->slot];
	struct pollfd pollfd = { s->fd, POLLIN | POLLOUT, 0 };
	struct k2u_counters counted = { 0 };
	struct expect e = { 0 };
	struct stat st;

	switch (op->a % 8) {
	case 0:
		must(&e, !s->file, EBADF);
		must(&e, true, EINVAL);
		judge(&e, "fsync", CALL(fsync, s->fd));
		break;
	case 1:
		must(&e, !s->file, EBADF);
		must(&e, true, EINVAL);
		judge(&e, "ftruncate", CALL(ftruncate, s->fd, op->b));
		break;
	case 2:
		must(&e, true, EBADF);
		must(&e, true, ENODEV);
		must(&e, true, EINVAL);
		must(&e, true, EOPNOTSUPP);
		must(&e, true, EFBIG);
		judge(&e, "fallocate",
		      CALL(fallocate, s->fd, op->b % 128, op->c, op->d));
		break;
	case 3:
		must(&e, !s->file && s->fd < 0, EBADF);
		if (judge(&e, "fstat", CALL(fstat, s->fd, &st)) &&
		    (!S_ISCHR(st.st_mode) || (st.st_mode & 07777) != 0600))
			wrong("the device's mode is %#o", st.st_mode);
		break;
	case 4:
		if (s->file && (CALL(poll, &pollfd, 1, 0) != 1 ||
				pollfd.revents != (POLLIN | POLLOUT)))
			wrong("poll says %#x", pollfd.revents);
		break;
	case 5:
		must(&e, !s->file, EBADF);
		must(&e, op->b & 1, EINVAL);
		judge(&e, "fcntl (F_SETFL)",
		      CALL(fcntl, s->fd, F_SETFL,
			   op->b & 1 ? O_DIRECT : O_NONBLOCK));
		break;
	case 6:
		must(&e, true, EBADF);
		must(&e, true, EINVAL);
		must(&e, true, EPERM);
		judge(&e, "fcntl (F_ADD_SEALS)",
		      CALL(fcntl, s->fd, 1033, op->b % 32));
		break;
	case 7:
		must(&e, true, EBADF);
		must(&e, true, EINVAL);
		must(&e, true, ESPIPE);
		/* At the end there is nothing that would have to go anywhere */
		if (s->file &&
		    s->file->pos >= (s->file->size ?: bounds.default_bytes))
			may(&e, 0);
		judge(&e, "sendfile",
		      CALL(sendfile, s->fd, s->fd, NULL, 1 + op->b % 65536));
		/* What came as far as the kernel's own pipe was read all the same */
		if (s->file && !ioctl(s->fd, K2U_IOC_COUNTERS, &counted))
			s->file->read_bytes = counted.read_bytes;
		break;
	}
	check_created(s);
}

/* ---- copies ---- */

static uint64_t copy_offset(const struct op *op, const struct file *f)
{
	const uint64_t size = f ? f->size : 0;

	switch (op->b % 16) {
	case 0:
		return size;
	case 1:
		return size - 1 - op->c % 16;
	case 2:
		return op->c;
	case 3:
		return INT64_MAX - op->c % 16;
	case 4:
		return -1 - op->c % 16;
	case 5:
		return 1ULL << op->c % 64;
	default:
		return size ? op->c % size : op->c % 65536;
	}
}

static uint64_t copy_length(const struct op *op)
{
	switch (op->d % 16) {
	case 0:
		return 0;
	case 1:
		return SSIZE_MAX - (op->d >> 8) % 16;
	case 2:
		return UINT64_MAX - (op->d >> 8) % 16;
	case 3:
		return INT_MAX - (op->d >> 8) % 16;
	case 4:
		return 1ULL << (op->d >> 8) % 64;
	default:
		return (op->d >> 8) % (PREAD_PAGES * page_bytes);
	}
}

enum place { GOOD, NULL_POINTER, KERNEL_POINTER };

/* What a copy of length bytes at offset must give; *give: how many bytes then */
static void copy_expected(struct expect *e, const struct slot *s, bool into,
			  uint64_t offset, uint64_t length, enum place place,
			  uint64_t *give)
{
	const struct file *f = s->file;
	const uint64_t size = !f ? 0 : f->size ? f->size : bounds.default_bytes;

	*give = offset >= size	       ? 0 :
		length < size - offset ? length :
					 size - offset;
	must(e, !f || !(into ? f->writable : f->readable), EBADF);
	must(e, offset > INT64_MAX, EINVAL);
	must(e, length > SSIZE_MAX || offset + length > INT64_MAX, EINVAL);
	/* access_ok() looks at the whole range, on some releases */
	if (length > SHADOW_BYTES)
		may(e, EFAULT);
	must(e, place == KERNEL_POINTER, EFAULT);
	must(e, place == NULL_POINTER && *give, EFAULT);
	must(e, into && length && offset >= size, ENOSPC);
	must(e, f && !f->size && used_bytes() + size > bounds.max_bytes,
	     ENOMEM);
	if (place == KERNEL_POINTER && !length)
		may(e, 0);
}

static bool check_copied(const struct expect *e, const char *what, long rc,
			 uint64_t give)
{
	if (!judge(e, what, rc))
		return false;
	if ((uint64_t)rc != give)
		wrong("%s: %ld bytes, expected %lu", what, rc, give);
	return true;
}

/* What came out of, or went into, the buffer */
static void copied(const struct slot *s, bool into, uint64_t offset, uint64_t n,
		   const char *bytes)
{
	struct file *f = s->file;

	check_created(s);
	if (into)
		f->written_bytes += n;
	else
		f->read_bytes += n;
	if (!n || !modelled(f))
		return;
	if (into)
		memcpy(shadow(f) + offset, bytes, n);
	else if (memcmp(bytes, shadow(f) + offset, n))
		wrong("%lu bytes read at %lu are not the buffer's", n, offset);
}

static void copy(const struct op *op, bool into)
{
	struct slot *s = &slots[op->slot];
	const bool at_position = op->a & 1;
	const uint64_t offset = !at_position ? copy_offset(op, s->file) :
				s->file	     ? s->file->pos :
					       0;
	const uint64_t length = copy_length(op);
	const enum place place = op->a & 14 ? GOOD : 1 + (op->a >> 4) % 2;
	char *p = place == GOOD		? scratch :
		  place == NULL_POINTER ? NULL :
					  (char *)-page_bytes;
	struct expect e = { 0 };
	uint64_t give;
	long rc;

	copy_expected(&e, s, into, offset, length, place, &give);
	if (give > SHADOW_BYTES)
		return;
	if (into && give)
		for (unsigned int i = 0; i < 64; i++)
			scratch[(op->d + i * 61) % give] ^=
				(char)(op->d >> (i % 57));
	if (at_position)
		rc = into ? CALL(write, s->fd, p, length) :
			    CALL(read, s->fd, p, length);
	else
		rc = into ? CALL(pwrite, s->fd, p, length, offset) :
			    CALL(pread, s->fd, p, length, offset);
	if (check_copied(&e, into ? "write" : "read", rc, give)) {
		copied(s, into, offset, give, scratch);
		if (at_position)
			s->file->pos += give;
	} else {
		check_created(s);
	}
	check_counters(s);
}

void op_read(const struct op *op)
{
	copy(op, false);
}

void op_write(const struct op *op)
{
	copy(op, true);
}

/* K2U_IOC_COPY, by the methods that have it and by others */
void op_copy(const struct op *op)
{
	static const uint32_t ids[] = { K2U_METHOD_ioctl, K2U_METHOD_pin,
					K2U_METHOD_ioctl, K2U_METHOD_pin,
					K2U_METHOD_read,  UINT32_MAX };
	struct slot *s = &slots[op->slot];
	const struct file *f = s->file;
	const uint64_t size = !f ? 0 : f->size ? f->size : bounds.default_bytes;
	const enum place place = op->a & 14 ? GOOD : 1 + (op->a >> 4) % 2;
	struct k2u_copy copy = {
		.offset = copy_offset(op, f),
		.size = copy_length(op),
		.method = ids[(op->a >> 8) % ARRAY_SIZE(ids)],
		.addr = place == GOOD	      ? (uintptr_t)scratch :
			place == NULL_POINTER ? 0 :
						-page_bytes,
		.flags = (op->a >> 16) % 32 == 0,
	};
	const bool has = copy.method == K2U_METHOD_ioctl ||
			 copy.method == K2U_METHOD_pin;
	const uint64_t left = copy.offset < size ? size - copy.offset : 0;
	const uint64_t give = copy.size < left ? copy.size : left;
	struct expect e = { 0 };

	if (give > SHADOW_BYTES)
		return;
	must(&e, !f || !f->readable, EBADF);
	must(&e, copy.flags || copy.method == UINT32_MAX, EINVAL);
	must(&e, !has, EOPNOTSUPP);
	must(&e, place != GOOD && give, EFAULT);
	must(&e, f && !f->size && used_bytes() + size > bounds.max_bytes,
	     ENOMEM);
	if (check_copied(&e, "ioctl (COPY)",
			 CALL(ioctl, s->fd, K2U_IOC_COPY, &copy), give))
		copied(s, false, copy.offset, give, scratch);
	else
		check_created(s);
	check_counters(s);
}

/* preadv2 and pwritev2: several pieces, of which one may be no memory; flags */
void op_vector(const struct op *op)
{
	static const int flags[] = { 0,		0,	  0,	      RWF_HIPRI,
				     RWF_DSYNC, RWF_SYNC, RWF_NOWAIT, 1 << 30 };
	const struct slot *s = &slots[op->slot];
	const int flag = flags[(op->a >> 8) % ARRAY_SIZE(flags)];
	const bool into = op->a & 1;
	const unsigned int count =
		(op->d >> 40) % 32 == 0 ? IOV_MAX + 1 : 1 + (op->d >> 48) % 6;
	/* -1 is the file position */
	const uint64_t offset =
		copy_offset(op, s->file) + 1 ? copy_offset(op, s->file) : 0;
	unsigned int bad = op->a & 6 ? count : (op->a >> 4) % 6;
	struct iovec iov[IOV_MAX + 1];
	uint64_t total = 0, until = 0, give;
	struct expect e = { 0 };

	for (unsigned int i = 0; i < count; i++) {
		const bool empty = (op->c >> i % 32) % 4 == 0;
		const size_t n = count > 8 ? 1 :
				 empty	   ? 0 :
					     (op->d >> i) % (page_bytes / 2);

		iov[i] = (struct iovec){ i == bad ? NULL : scratch + total, n };
		if (i == bad && !n)
			bad = count;
		total += n;
		if (i < bad)
			until += n;
	}
	copy_expected(&e, s, into, offset, total, GOOD, &give);
	must(&e, count > IOV_MAX, EINVAL);
	must(&e, flag == 1 << 30, EOPNOTSUPP);
	/* The default buffer is not made while nobody waits */
	must(&e, flag == RWF_NOWAIT && s->file && !s->file->size, EAGAIN);
	must(&e, give && !until && bad < count, EFAULT);
	if (!total) /* it is not even asked */
		may(&e, 0);
	if (give > until && bad < count)
		give = until;
	if (check_copied(&e, into ? "pwritev2" : "preadv2",
			 into ? CALL(pwritev2, s->fd, iov, count, offset,
				     flag) :
				CALL(preadv2, s->fd, iov, count, offset, flag),
			 give))
		copied(s, into, offset, give, scratch);
	else
		check_created(s);
	check_counters(s);
}

void op_lseek(const struct op *op)
{
	static const int whences[] = { SEEK_SET,  SEEK_SET,  SEEK_CUR, SEEK_END,
				       SEEK_DATA, SEEK_HOLE, 5,	       -1 };
	const struct slot *s = &slots[op->slot];
	const int whence = whences[op->a % ARRAY_SIZE(whences)];
	struct file *f = s->file;
	const uint64_t size = !f ? 0 : f->size ? f->size : bounds.default_bytes;
	int64_t to = (int64_t)copy_offset(op, f), from;
	struct expect e = { 0 };
	long rc;

	if (whence == SEEK_END && op->b % 16 > 5)
		to = -to;
	from = !f		  ? 0 :
	       whence == SEEK_CUR ? (int64_t)f->pos :
	       whence == SEEK_END ? (int64_t)size :
				    0;
	must(&e, !f, EBADF);
	must(&e, whence > SEEK_END || whence < 0, EINVAL);
	/* generic_file_llseek_size(): a sum that overflows is negative, too */
	must(&e,
	     (int64_t)((uint64_t)to + (uint64_t)from) < 0 ||
		     (uint64_t)to + (uint64_t)from > size,
	     EINVAL);
	must(&e, f && !f->size && used_bytes() + size > bounds.max_bytes,
	     ENOMEM);
	rc = CALL(lseek, s->fd, to, whence);
	check_created(s);
	if (!judge(&e, "lseek", rc))
		return;
	if (rc != to + from)
		wrong("lseek: %ld, expected %ld", rc, to + from);
	f->pos = (uint64_t)rc;
}

/* All of the buffer, and all pages of the arena */
void op_contents(const struct op *op)
{
	const struct slot *s = &slots[op->slot];
	struct file *f = s->file;

	if (f && f->readable && modelled(f)) {
		const long rc = CALL(pread, s->fd, scratch, f->size, 0);

		if (rc != (long)f->size)
			wrong("pread of a buffer of %lu bytes: %ld", f->size,
			      rc);
		copied(s, false, 0, f->size, scratch);
	}
	for (unsigned int i = 0; i < ARENA_PAGES; i++)
		if (touch_expected(&arena[i], false) == TOUCH_OK &&
		    page_data(&arena[i]) &&
		    memcmp(arena_at(i), page_data(&arena[i]), page_bytes))
			wrong("page %u has not the bytes of its buffer", i);
	check_counters(s);
}

/* The buffer's pages to a pipe, which has room for so many */
static void splice_out(const struct op *op, const struct slot *s,
		       const int *pipes, size_t n)
{
	struct file *f = s->file;
	const uint64_t size = !f ? 0 : f->size ? f->size : bounds.default_bytes;
	const uint64_t at = f ? f->pos : 0, left = at < size ? size - at : 0,
		       room = 16 * page_bytes - at % page_bytes;
	uint64_t give = n < left ? n : left;
	struct expect e = { 0 };

	give = give < room ? give : room;
	must(&e, !f || !f->readable, EBADF);
	must(&e, f && !f->size && used_bytes() + size > bounds.max_bytes,
	     ENOMEM);
	must(&e, f && f->size && f->backing == K2U_BACKING_DMA, EINVAL);
	if (!check_copied(&e, "splice",
			  CALL(splice, s->fd, NULL, pipes[1], NULL, n,
			       op->c % 16),
			  give)) {
		check_created(s);
		return;
	}
	if (give && read(pipes[0], scratch, give) != (ssize_t)give)
		wrong("a pipe has not the bytes that were spliced");
	copied(s, false, at, give, scratch);
	f->pos += give;
}

/* A page of a mapping can be written to a pipe, too; nothing comes back. */
void op_splice(const struct op *op)
{
	const struct slot *s = &slots[op->slot];
	const enum touched expected = touch_expected(&arena[op->at], false);
	const size_t n = 1 + op->b % 65536;
	struct expect e = { 0 };
	int pipes[2];

	if (pipe(pipes))
		wrong("pipe: %s", strerror(errno));
	if (op->a % 4 == 1) {
		splice_out(op, s, pipes, n);
	} else if (op->a % 4) {
		must(&e, true, EINVAL);
		must(&e, true, EBADF);
		judge(&e, "splice",
		      CALL(splice, pipes[0], NULL, s->fd, NULL, n, op->c % 16));
		check_created(s);
	} else {
		/* A page at once: it is there as a whole or not at all. */
		must(&e, expected != TOUCH_OK, EFAULT);
		if (judge(&e, "write to a pipe",
			  CALL(write, pipes[1], arena_at(op->at),
			       page_bytes))) {
			const uint8_t *data = page_data(&arena[op->at]);

			if (read(pipes[0], scratch, page_bytes) !=
			    (ssize_t)page_bytes)
				wrong("a pipe has not the page that was written");
			if (data && memcmp(scratch, data, page_bytes))
				wrong("page %u: write() found other bytes",
				      op->at);
		}
	}
	close(pipes[0]);
	close(pipes[1]);
}
