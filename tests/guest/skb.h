/* SPDX-License-Identifier: GPL-2.0 */
/* Streams of packets: a network namespace, what is sent there, and the stream. */
#ifndef K2U_GUEST_SKB_H
#define K2U_GUEST_SKB_H

#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include "guest.h"

#define PORT 4000
#define OTHER 4001
#define FENCE 4002
#define RECORD 2048 /* bytes of a slot, unless a test says so */
#define SLOTS 64

/* ---- namespaces and sockets ---- */

static inline void link_up(unsigned int mtu)
{
	struct ifreq lo = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	lo.ifr_flags = IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	lo.ifr_mtu = (int)mtu;
	assert_int_equal(ioctl(fd, SIOCSIFMTU, &lo), 0);
	close(fd);
}

/* A namespace of each test's own; the one that it came from is left behind */
static inline int setup(void **state)
{
	cpu_set_t one;

	(void)state;
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	return sched_setaffinity(0, sizeof(one), &one) || unshare(CLONE_NEWNET);
}

static inline struct sockaddr_in port_of(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static inline int bound(uint16_t port)
{
	const struct sockaddr_in at = port_of(port);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const void *)&at, sizeof(at)), 0);
	return fd;
}

static inline bool comes(int fd, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, ms) == 1;
}

/* Payload of a datagram: words of the pattern, by a seed of its own */
static inline void fill(char *p, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (char)pattern_byte(seed, i);
}

static inline void send_alone(uint16_t port, size_t size, uint64_t seed)
{
	const struct sockaddr_in to = port_of(port);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char *p = malloc(size + 1);

	assert_true(fd >= 0);
	assert_non_null(p);
	fill(p, size, seed);
	assert_int_equal(sendto(fd, p, size, 0, (const void *)&to, sizeof(to)),
			 size);
	free(p);
	close(fd);
}

/*
 * All that was sent before has arrived: lo keeps the order of what a CPU sends, and
 * a test runs on one. (Most often it is there when sendto() returns; but not where
 * ksoftirqd is at work.)
 */
static inline void fence(void)
{
	int fd = bound(FENCE);

	send_alone(FENCE, 1, SEED);
	assert_true(comes(fd, 5000));
	close(fd);
}

static inline void send_to(uint16_t port, size_t size, uint64_t seed)
{
	send_alone(port, size, seed);
	fence();
}

/* ---- senders of whole pages ---- */

static inline int connected(bool checksum)
{
	const struct sockaddr_in to = port_of(PORT);
	const int off = !checksum, room = 1 << 20;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(
		setsockopt(fd, SOL_SOCKET, SO_NO_CHECK, &off, sizeof(off)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room,
				    sizeof(room)),
			 0);
	assert_int_equal(connect(fd, (const void *)&to, sizeof(to)), 0);
	return fd;
}

/* What is in the pipe becomes a datagram, with its pages */
static inline void splice_all(int from, size_t size, bool checksum)
{
	int fd = connected(checksum);

	assert_int_equal(splice(from, NULL, fd, NULL, size, 0), size);
	close(fd);
}

/* write() to a pipe makes pages that are nobody else's */
static inline void send_spliced(size_t size, uint64_t seed, bool checksum)
{
	char *p = malloc(size);
	int ends[2];

	assert_non_null(p);
	fill(p, size, seed);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(write(ends[1], p, size), size);
	splice_all(ends[0], size, checksum);
	close(ends[0]);
	close(ends[1]);
	free(p);
}

static inline void send_pages(unsigned int nr, uint64_t seed)
{
	send_spliced(nr * page_size(), seed, false);
	fence();
}

/* ---- streams ---- */

struct stream {
	int file, fd;
	uint32_t record, slots;
};

static inline int try_arg(struct stream *s, struct k2u_stream arg,
			  uint32_t slots)
{
	int err;

	s->file = open_buffer(K2U_BACKING_VMALLOC,
			      K2U_RING_DATA(page_size()) +
				      (size_t)arg.record_size * slots);
	s->fd = ioctl(s->file, K2U_IOC_STREAM, &arg);
	err = errno;
	s->record = arg.record_size;
	s->slots = arg.slots;
	if (s->fd >= 0) {
		assert_int_equal(arg.slots, slots);
		assert_int_equal(fcntl(s->fd, F_SETFL, O_NONBLOCK), 0);
		return 0;
	}
	close(s->file);
	return err;
}

static inline int try_stream(struct stream *s, uint32_t record, uint32_t slots,
			     uint16_t port, uint16_t flags)
{
	const struct k2u_stream arg = {
		.source = K2U_STREAM_UDP,
		.record_size = record,
		.port = port,
		.flags = flags,
	};

	return try_arg(s, arg, slots);
}

static inline struct stream open_stream(uint32_t record, uint16_t flags)
{
	struct stream s;
	int err = try_stream(&s, record, SLOTS, PORT, flags);

	if (err)
		fail_msg("K2U_IOC_STREAM: %s", strerror(err));
	return s;
}

static inline void close_stream(struct stream *s)
{
	close(s->fd);
	close(s->file);
}

static inline struct k2u_stream_info stream_info(const struct stream *s)
{
	struct k2u_stream_info info = { 0 };

	assert_int_equal(ioctl(s->fd, K2U_IOC_STREAM_INFO, &info), 0);
	return info;
}

/*
 * Since 6.5 splice() to a UDP socket keeps the pages (MSG_SPLICE_PAGES). Before, it did by
 * ->sendpage, but stable 6.1 copies (seen on 6.1.192). In a namespace of a test.
 */
static inline bool splice_copies(void)
{
	static int copies = -1;
	const size_t len = K2U_RING_DATA(page_size()) + RECORD * SLOTS;
	const struct k2u_record *record;
	struct stream s;
	char *map;

	if (kernel_is(6, 5))
		return false;
	if (copies < 0) {
		s = open_stream(RECORD, K2U_STREAM_PAGES | K2U_STREAM_STEAL);
		map = map_buffer(s.file, K2U_METHOD_vmalloc, len, PROT_READ);
		send_pages(1, SEED);
		record = (const void *)(map + K2U_RING_DATA(page_size()));
		copies = !(record->flags & K2U_RECORD_PAGES);
		munmap(map, len);
		close_stream(&s);
	}
	return copies;
}

#define NO_SPLICE "packets by reference: splice() to a UDP socket copies"

#endif /* K2U_GUEST_SKB_H */
