// SPDX-License-Identifier: GPL-2.0
/*
 * guest_skb.c - K2U_STREAM_UDP: what the ring gets of the packets of a network
 * namespace, what it does not, and that the hook goes with the stream, in whichever
 * order the stream, its process and its namespace end.
 */
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "skb.h"

/* Whether the socket gets one such datagram, and no more */
static bool socket_gets(int fd, size_t size, uint64_t seed)
{
	char *p = malloc(size + 1), *want = malloc(size + 1);
	ssize_t n = recv(fd, p, size + 1, 0);
	bool ok;

	fill(want, size, seed);
	ok = n == (ssize_t)size && !memcmp(p, want, size) &&
	     recv(fd, p, 1, 0) < 0 && errno == EAGAIN;
	free(p);
	free(want);
	return ok;
}

static bool socket_empty(int fd)
{
	char c;

	return recv(fd, &c, 1, 0) < 0 && errno == EAGAIN;
}

/* The next record is this datagram, whole or cut to the slot */
static void assert_record(const struct stream *s, uint64_t seq, size_t size,
			  uint64_t seed)
{
	const size_t room = s->record - sizeof(struct k2u_record),
		     there = size < room ? size : room;
	struct k2u_record *r = malloc(s->record);
	char *want = malloc(there + 1);

	assert_int_equal(read(s->fd, r, s->record), s->record);
	assert_int_equal(r->seq, seq);
	assert_int_equal(r->stamp, 0);
	assert_int_equal(r->size, there);
	assert_int_equal(r->flags, size > room ? K2U_RECORD_CUT : 0);
	fill(want, there, seed);
	assert_memory_equal(r + 1, want, there);
	free(want);
	free(r);
}

static void assert_empty(const struct stream *s)
{
	char record[K2U_RECORD_MAX];

	assert_int_equal(read(s->fd, record, s->record), -1);
	assert_int_equal(errno, EAGAIN);
}

/* ---- what the ring gets ---- */

static void test_contents(void **state)
{
	static const size_t sizes[] = { 0,    1,    7,	  8,	 63,	64,
					1000, 1472, 8192, 16383, 40000, 65507 };
	struct stream s;
	uint64_t seq = 0;

	(void)state;
	link_up(65536);
	s = open_stream(65536, 0);
	for (unsigned int turn = 0; turn < 12; turn++)
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++, seq++) {
			assert_false(comes(s.fd, 0));
			send_to(PORT, sizes[i], SEED + seq);
			assert_true(comes(s.fd, 0));
			assert_record(&s, seq, sizes[i], SEED + seq);
		}
	assert_true(seq > 2 * SLOTS);
	assert_int_equal(stream_info(&s).dropped, 0);
	assert_int_equal(stream_info(&s).produced, seq);
	close_stream(&s);
}

/* The same through a mapping: the slot has the payload in place */
static void test_mapped(void **state)
{
	const size_t len = K2U_RING_DATA(page_size()) + RECORD * SLOTS;
	struct k2u_ring *ring;
	struct stream s;
	char want[1472];

	(void)state;
	link_up(65536);
	s = open_stream(RECORD, 0);
	ring = map_buffer(s.file, K2U_METHOD_vmalloc, len,
			  PROT_READ | PROT_WRITE);
	for (uint64_t i = 0; i < 3 * SLOTS; i++) {
		const struct k2u_record *r =
			(void *)((char *)ring + K2U_RING_DATA(page_size()) +
				 i % SLOTS * RECORD);

		send_to(PORT, sizeof(want), SEED + i);
		assert_int_equal(__atomic_load_n(&ring->producer,
						 __ATOMIC_ACQUIRE),
				 i + 1);
		assert_int_equal(r->seq, i);
		assert_int_equal(r->size, sizeof(want));
		fill(want, sizeof(want), SEED + i);
		assert_memory_equal(r + 1, want, sizeof(want));
		__atomic_store_n(&ring->consumer, i + 1, __ATOMIC_RELEASE);
	}
	assert_int_equal(stream_info(&s).dropped, 0);
	munmap(ring, len);
	close_stream(&s);
}

static void test_cut(void **state)
{
	const size_t room = K2U_RECORD_MIN - sizeof(struct k2u_record);
	struct stream s;

	(void)state;
	link_up(65536);
	s = open_stream(K2U_RECORD_MIN, 0);
	for (size_t i = 0; i < 4; i++)
		send_to(PORT, room - 1 + i, SEED + i);
	send_to(PORT, 65507, SEED + 4);
	for (size_t i = 0; i < 4; i++)
		assert_record(&s, i, room - 1 + i, SEED + i);
	assert_record(&s, 4, 65507, SEED + 4);
	assert_empty(&s);
	close_stream(&s);
}

/* A stream of PORT that signals it; the count that it has now, 0: none */
static struct stream open_signalled(int eventfd)
{
	const struct k2u_stream arg = {
		.source = K2U_STREAM_UDP,
		.record_size = RECORD,
		.port = PORT,
		.flags = K2U_STREAM_STEAL | K2U_STREAM_EVENTFD,
		.eventfd = eventfd,
	};
	struct stream s;

	assert_int_equal(try_arg(&s, arg, SLOTS), 0);
	return s;
}

/* One for each packet that became a record */
static void test_eventfd(void **state)
{
	int efd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct stream s;

	(void)state;
	assert_true(efd >= 0);
	link_up(65536);
	s = open_signalled(efd);
	assert_int_equal(count_of(efd), 0);
	for (uint64_t i = 0; i < 3; i++) {
		send_to(PORT, 100, SEED + i);
		assert_true(comes(efd, 0));
		assert_int_equal(count_of(efd), 1);
		assert_record(&s, i, 100, SEED + i);
	}
	send_to(OTHER, 100, SEED);
	assert_false(comes(efd, 0));
	/* What is dropped is not counted */
	for (unsigned int i = 0; i < SLOTS + 5; i++)
		send_to(PORT, 100, SEED);
	assert_int_equal(stream_info(&s).dropped, 5);
	assert_int_equal(count_of(efd), SLOTS);
	/* Closed, it is signalled still, and nobody is there */
	close(efd);
	assert_record(&s, 3, 100, SEED);
	send_to(PORT, 100, SEED);
	assert_int_equal(stream_info(&s).dropped, 5);
	close_stream(&s);
}

/* A socket gets it, too, unless it is stolen */
static void test_steal(void **state)
{
	struct stream s;
	int sock;

	(void)state;
	link_up(65536);
	sock = bound(PORT);
	s = open_stream(RECORD, 0);
	send_to(PORT, 100, SEED);
	assert_record(&s, 0, 100, SEED);
	assert_true(socket_gets(sock, 100, SEED));
	close_stream(&s);

	s = open_stream(RECORD, K2U_STREAM_STEAL);
	for (unsigned int i = 0; i < 2 * SLOTS; i++)
		send_to(PORT, 100, SEED + i);
	/* Nor where the ring was full */
	assert_true(socket_empty(sock));
	for (unsigned int i = 0; i < SLOTS; i++)
		assert_record(&s, i, 100, SEED + i);
	assert_empty(&s);
	assert_int_equal(stream_info(&s).dropped, SLOTS);
	close_stream(&s);

	send_to(PORT, 100, SEED);
	assert_true(socket_gets(sock, 100, SEED));
	close(sock);
}

/* Full: counted, and the records that are there stay; then a gap in seq shows it */
static void test_overrun(void **state)
{
	struct k2u_stream_info info;
	struct stream s;

	(void)state;
	link_up(65536);
	s = open_stream(RECORD, 0);
	for (unsigned int i = 0; i < SLOTS + 5; i++)
		send_to(PORT, 200, SEED + i);
	info = stream_info(&s);
	assert_int_equal(info.produced, SLOTS + 5);
	assert_int_equal(info.dropped, 5);
	assert_int_equal(info.consumed, 0);
	for (unsigned int i = 0; i < SLOTS; i++)
		assert_record(&s, i, 200, SEED + i);
	assert_empty(&s);
	send_to(PORT, 200, SEED);
	assert_record(&s, SLOTS + 5, 200, SEED);
	info = stream_info(&s);
	assert_int_equal(info.produced, info.consumed + info.dropped);
	close_stream(&s);
}

/* ---- what it does not get ---- */

static void test_others(void **state)
{
	const struct sockaddr_in to = port_of(PORT);
	char bytes[64];
	struct stream s;
	int sock, raw, other_protocol;

	(void)state;
	link_up(65536);
	s = open_stream(RECORD, K2U_STREAM_STEAL);
	sock = bound(OTHER);
	send_to(OTHER, 300, SEED);
	assert_true(socket_gets(sock, 300, SEED));
	close(sock);

	/* Another protocol, with our port where UDP has it (IPPROTO_UDPLITE's number + 1) */
	raw = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK, 137);
	other_protocol = socket(AF_INET, SOCK_RAW, 137);
	assert_true(raw >= 0 && other_protocol >= 0);
	memset(bytes, 0, sizeof(bytes));
	*(struct udphdr *)bytes =
		(struct udphdr){ .uh_dport = htons(PORT),
				 .uh_ulen = htons(sizeof(bytes)) };
	assert_int_equal(sendto(other_protocol, bytes, sizeof(bytes), 0,
				(const void *)&to, sizeof(to)),
			 sizeof(bytes));
	fence();
	assert_int_equal(recv(raw, bytes, sizeof(bytes), 0), sizeof(bytes));
	close(raw);
	close(other_protocol);
	assert_empty(&s);

	/* TCP to the port: a refusal comes back, as without the stream */
	sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(sock, (const void *)&to, sizeof(to)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(sock);
	assert_empty(&s);
	assert_int_equal(stream_info(&s).produced, 0);
	close_stream(&s);
}

/* A datagram by hand: header of UDP and payload, as a raw socket sends it */
static void send_raw(uint16_t ulen, uint16_t check, size_t payload)
{
	const struct sockaddr_in to = port_of(PORT);
	char bytes[512];
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP);

	assert_true(fd >= 0);
	*(struct udphdr *)bytes = (struct udphdr){
		.uh_sport = htons(OTHER),
		.uh_dport = htons(PORT),
		.uh_ulen = htons(ulen),
		.uh_sum = htons(check),
	};
	fill(bytes + sizeof(struct udphdr), payload, SEED);
	assert_int_equal(sendto(fd, bytes, sizeof(struct udphdr) + payload, 0,
				(const void *)&to, sizeof(to)),
			 sizeof(struct udphdr) + payload);
	close(fd);
	fence();
}

/* What a socket would refuse: a checksum or a length that is wrong */
static void test_malformed(void **state)
{
	const uint16_t head = sizeof(struct udphdr);
	struct stream s;
	int sock;

	(void)state;
	link_up(65536);
	sock = bound(PORT);
	s = open_stream(RECORD, 0);
	send_raw(head + 100, 0x1234, 100);
	send_raw(head + 101, 0, 100);
	send_raw(head - 1, 0, 100);
	send_raw(0, 0, 100);
	assert_empty(&s);
	assert_true(socket_empty(sock));
	assert_int_equal(stream_info(&s).produced, 0);
	/* No checksum is none that is wrong; bytes behind the length are no payload */
	send_raw(head + 100, 0, 100);
	assert_record(&s, 0, 100, SEED);
	assert_true(socket_gets(sock, 100, SEED));
	send_raw(head + 90, 0, 100);
	assert_record(&s, 1, 90, SEED);
	assert_true(socket_gets(sock, 90, SEED));
	send_raw(head, 0, 0);
	assert_record(&s, 2, 0, SEED);
	assert_empty(&s);
	close(sock);
	close_stream(&s);
}

/* They are put together first: one record, once the last one has come */
static void test_fragments(void **state)
{
	struct stream s;
	int sock;

	(void)state;
	link_up(1500);
	sock = bound(PORT);
	s = open_stream(65536, 0);
	send_to(PORT, 1472, SEED);
	send_to(PORT, 1473, SEED + 1);
	send_to(PORT, 20000, SEED + 2);
	assert_record(&s, 0, 1472, SEED);
	assert_record(&s, 1, 1473, SEED + 1);
	assert_record(&s, 2, 20000, SEED + 2);
	assert_empty(&s);
	close_stream(&s);
	close(sock);
}

/* One that stays alone is never ours */
static void test_lone_fragment(void **state)
{
	const struct sockaddr_in to = port_of(PORT);
	struct {
		struct iphdr ip;
		struct udphdr udp;
		char payload[64];
	} packet = {
		.ip = {
			.version = 4,
			.ihl = 5,
			.ttl = 64,
			.protocol = IPPROTO_UDP,
			.frag_off = htons(IP_MF),
			.id = htons(1),
			.saddr = htonl(INADDR_LOOPBACK),
			.daddr = htonl(INADDR_LOOPBACK),
		},
		.udp = { .uh_dport = htons(PORT), .uh_ulen = htons(72) },
	};
	const int on = 1;
	struct stream s;
	int fd;

	(void)state;
	link_up(65536);
	s = open_stream(RECORD, 0);
	fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	assert_true(fd >= 0);
	assert_int_equal(
		setsockopt(fd, IPPROTO_IP, IP_HDRINCL, &on, sizeof(on)), 0);
	assert_int_equal(sendto(fd, &packet, sizeof(packet), 0,
				(const void *)&to, sizeof(to)),
			 sizeof(packet));
	fence();
	assert_empty(&s);
	/* And the same whole is */
	packet.ip.frag_off = 0;
	packet.ip.id = htons(2);
	assert_int_equal(sendto(fd, &packet, sizeof(packet), 0,
				(const void *)&to, sizeof(to)),
			 sizeof(packet));
	fence();
	assert_int_equal(stream_info(&s).produced, 1);
	close(fd);
	close_stream(&s);
}

/* ---- several, and other namespaces ---- */

static void test_two(void **state)
{
	struct stream a, b;

	(void)state;
	link_up(65536);
	a = open_stream(RECORD, 0);
	b = open_stream(K2U_RECORD_MIN, 0);
	send_to(PORT, 100, SEED);
	assert_record(&a, 0, 100, SEED);
	assert_record(&b, 0, 100, SEED);
	close_stream(&a);
	send_to(PORT, 100, SEED + 1);
	assert_record(&b, 1, 100, SEED + 1);

	/* The newest comes first: where it steals, none is left for the other */
	a = open_stream(RECORD, K2U_STREAM_STEAL);
	send_to(PORT, 100, SEED + 2);
	assert_record(&a, 0, 100, SEED + 2);
	assert_empty(&b);
	close_stream(&b);
	close_stream(&a);
}

static void test_namespace(void **state)
{
	struct stream s;

	(void)state;
	link_up(65536);
	s = open_stream(RECORD, 0);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	link_up(65536);
	/* The same port elsewhere */
	send_to(PORT, 100, SEED);
	assert_empty(&s);
	close_stream(&s);
}

/* ---- ends ---- */

/* In a child: what it does, and 0 if all was right */
static void in_child(int (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid)
		_exit(fn(arg));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void test_killed(void **state)
{
	int status, sock, ready[2];
	struct stream s;
	char c;
	pid_t pid;

	(void)state;
	link_up(65536);
	sock = bound(PORT);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		if (try_stream(&s, RECORD, SLOTS, PORT, K2U_STREAM_STEAL) ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	send_to(PORT, 100, SEED);
	assert_true(socket_empty(sock));
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	send_to(PORT, 100, SEED + 1);
	assert_true(socket_gets(sock, 100, SEED + 1));
	close(sock);
	close(ready[0]);
	close(ready[1]);
}

/*
 * Nothing is left in the namespace but the stream: it lives on, and with it its lo
 * and a socket's port; a packet that is sent by a socket of it still arrives.
 */
static void test_namespace_ends(void **state)
{
	struct stream s;
	int sock, tx;
	const struct sockaddr_in to = port_of(PORT);
	char bytes[100];

	(void)state;
	link_up(65536);
	s = open_stream(RECORD, 0);
	tx = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	fill(bytes, sizeof(bytes), SEED);
	assert_int_equal(sendto(tx, bytes, sizeof(bytes), 0, (const void *)&to,
				sizeof(to)),
			 sizeof(bytes));
	assert_true(comes(s.fd, 5000));
	assert_record(&s, 0, sizeof(bytes), SEED);
	close(tx);
	/*
	 * Time for it to be taken down, were nothing to hold it; and again, as its
	 * memory is freed with the next one that ends (net_complete_free(), 6.13)
	 */
	for (int i = 0; i < 2; i++) {
		assert_false(comes(s.fd, 1000));
		assert_int_equal(unshare(CLONE_NEWNET), 0);
	}
	assert_false(comes(s.fd, 500));
	assert_empty(&s);
	close_stream(&s);

	/* The other order: the stream first, then all else */
	link_up(65536);
	s = open_stream(RECORD, 0);
	sock = bound(PORT);
	close_stream(&s);
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	close(sock);
	usleep(500 * 1000);
	assert_int_equal(module_info().used_bytes, 0);
}

/*
 * Packets come without end while streams come and go. One stays: the kernel need not
 * patch its code with each (nf_hooks_needed), which an emulator of several CPUs is
 * not always up to.
 */
static void test_churn(void **state)
{
	struct stream s, stays;
	pid_t pid;

	(void)state;
	link_up(65536);
	assert_int_equal(try_stream(&stays, RECORD, 2, OTHER, 0), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		cpu_set_t any;

		memset(&any, 0xff, sizeof(any));
		CPU_CLR(0, &any);
		sched_setaffinity(0, sizeof(any), &any);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			send_alone(PORT, 1000, SEED);
	}
	for (unsigned int i = 0; i < 100; i++) {
		const int efd = eventfd(0, EFD_CLOEXEC);

		assert_true(efd >= 0);
		s = i % 3 ? open_stream(RECORD, i % 2 ? K2U_STREAM_STEAL : 0) :
			    open_signalled(efd);
		if (i % 10 == 0) {
			assert_true(comes(i % 3 ? s.fd : efd, 5000));
			assert_record(&s, 0, 1000, SEED);
		}
		/* It may be held by the stream alone */
		if (i % 2)
			close(efd);
		close_stream(&s);
		if (i % 2 == 0)
			close(efd);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close_stream(&stays);
	assert_int_equal(module_info().used_bytes, 0);
}

/* ---- refusals ---- */

static void test_invalid(void **state)
{
	struct k2u_stream arg = {
		.source = K2U_STREAM_UDP,
		.record_size = RECORD,
		.port = PORT,
	};
	struct stream s;
	int fd;

	(void)state;
	assert_int_equal(try_stream(&s, RECORD, SLOTS, 0, 0), EINVAL);
	assert_int_equal(try_stream(&s, RECORD, SLOTS, PORT, 8), EINVAL);
	assert_int_equal(try_stream(&s, RECORD, SLOTS, PORT, 0xffff), EINVAL);
	assert_int_equal(try_stream(&s, RECORD + 4, SLOTS, PORT, 0), EINVAL);
	/* Of packets there is nothing to call for */
	s = open_stream(RECORD, 0);
	assert_int_equal(ioctl(s.fd, K2U_IOC_PRODUCE,
			       &(struct k2u_produce){ .count = 1 }),
			 -1);
	assert_int_equal(errno, EOPNOTSUPP);
	/* One ring of a buffer, until it is closed */
	assert_int_equal(ioctl(s.file, K2U_IOC_STREAM, &arg), -1);
	assert_int_equal(errno, EBUSY);
	close(s.fd);
	fd = ioctl(s.file, K2U_IOC_STREAM, &arg);
	assert_true(fd >= 0);
	close(fd);
	close(s.file);
}

/* Without CAP_NET_ADMIN; the device was opened by who may */
static int no_capability(void *arg)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3
	};
	struct __user_cap_data_struct data[2];
	struct k2u_stream stream = {
		.source = K2U_STREAM_UDP,
		.record_size = RECORD,
		.port = PORT,
	};
	int file = *(int *)arg;

	if (syscall(SYS_capget, &head, data))
		return 1;
	data[0].effective &= ~(1u << CAP_NET_ADMIN);
	if (syscall(SYS_capset, &head, data))
		return 2;
	if (ioctl(file, K2U_IOC_STREAM, &stream) != -1 || errno != EPERM)
		return 3;
	/* It is that of the user namespace that owns the network namespace */
	if (unshare(CLONE_NEWUSER))
		return 0; /* the kernel, or its settings, have none */
	if (ioctl(file, K2U_IOC_STREAM, &stream) != -1 || errno != EPERM)
		return 4;
	if (unshare(CLONE_NEWNET))
		return 5;
	return ioctl(file, K2U_IOC_STREAM, &stream) >= 0 ? 0 : 6;
}

static void test_capability(void **state)
{
	int file = open_buffer(K2U_BACKING_VMALLOC,
			       K2U_RING_DATA(page_size()) + 2 * RECORD);

	(void)state;
	in_child(no_capability, &file);
	close(file);
}

static bool stream_absent(void)
{
	struct stream s;
	int err = try_stream(&s, RECORD, SLOTS, PORT, 0);

	if (!err)
		close_stream(&s);
	return err == EOPNOTSUPP;
}

static void test_absent(void **state)
{
	struct stream s;

	(void)state;
	assert_int_equal(try_stream(&s, RECORD, SLOTS, PORT, 0), EOPNOTSUPP);
	unavailable(
		"packets: the kernel has no CONFIG_INET or no CONFIG_NETFILTER");
}

int main(void)
{
	static const struct CMUnitTest absent[] = {
		cmocka_unit_test(test_absent),
	};
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_contents, setup),
		cmocka_unit_test_setup(test_mapped, setup),
		cmocka_unit_test_setup(test_cut, setup),
		cmocka_unit_test_setup(test_eventfd, setup),
		cmocka_unit_test_setup(test_steal, setup),
		cmocka_unit_test_setup(test_overrun, setup),
		cmocka_unit_test_setup(test_others, setup),
		cmocka_unit_test_setup(test_malformed, setup),
		cmocka_unit_test_setup(test_fragments, setup),
		cmocka_unit_test_setup(test_lone_fragment, setup),
		cmocka_unit_test_setup(test_two, setup),
		cmocka_unit_test_setup(test_namespace, setup),
		cmocka_unit_test_setup(test_killed, setup),
		cmocka_unit_test_setup(test_namespace_ends, setup),
		cmocka_unit_test_setup(test_churn, setup),
		cmocka_unit_test_setup(test_invalid, setup),
		cmocka_unit_test_setup(test_capability, setup),
	};

	if (stream_absent())
		return cmocka_run_group_tests_name("skb", absent, NULL, NULL);
	return cmocka_run_group_tests_name("skb", tests, NULL, NULL);
}
