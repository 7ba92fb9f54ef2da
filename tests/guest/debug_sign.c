// SPDX-License-Identifier: GPL-2.0
/*
 * A kernel that enforces signatures, and /k2u.ko signed by scripts/sign.sh.
 *
 *	debug_sign foreign	with a key that the kernel does not know: it was loaded
 *				before signatures are enforced, and is not after
 *	debug_sign trusted	with the kernel's own, module.sig_enforce=1 from the start
 */
#include <sys/stat.h>
#include <sys/syscall.h>

#include "guest.h"

#define ENFORCE "/sys/module/module/parameters/sig_enforce"
#define MARKER "~Module signature appended~\n"

/* Bits of /proc/sys/kernel/tainted (Documentation/admin-guide/tainted-kernels.rst) */
#define TAINT_OOT (1UL << 12)
#define TAINT_UNSIGNED (1UL << 13)

static bool trusted;
static uint8_t *image;
static size_t signed_size, plain_size;

static void read_image(void)
{
	const size_t tail = strlen(MARKER);
	int fd = open("/k2u.ko", O_RDONLY | O_CLOEXEC);
	const uint8_t *sig_len;
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		fail_msg("/k2u.ko: %s", strerror(errno));
	signed_size = (size_t)st.st_size;
	image = malloc(signed_size);
	if (!image || read(fd, image, signed_size) != (ssize_t)signed_size)
		fail_msg("/k2u.ko cannot be read");
	close(fd);
	if (memcmp(image + signed_size - tail, MARKER, tail))
		fail_msg("/k2u.ko is not signed");
	/* struct module_signature: 8 bytes, and the big-endian length of the rest */
	sig_len = image + signed_size - tail - 4;
	plain_size = signed_size - tail - 12 -
		     ((size_t)sig_len[0] << 24 | sig_len[1] << 16 |
		      sig_len[2] << 8 | sig_len[3]);
}

/* 0 or errno */
static int load(size_t size)
{
	return syscall(SYS_init_module, image, size, "") ? errno : 0;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "k2u", O_NONBLOCK) ? errno : 0;
}

static unsigned long tainted(void)
{
	FILE *f = fopen("/proc/sys/kernel/tainted", "re");
	char line[32] = "";

	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	fclose(f);
	return strtoul(line, NULL, 10);
}

static void enforce(void)
{
	int fd = open(ENFORCE, O_RDWR | O_CLOEXEC);
	char now = 0;

	if (fd < 0)
		fail_msg(ENFORCE ": %s", strerror(errno));
	if (!trusted)
		assert_int_equal(pwrite(fd, "Y", 1, 0), 1);
	assert_int_equal(pread(fd, &now, 1, 0), 1);
	assert_int_equal(now, 'Y');
	close(fd);
}

/* How it was loaded by guest-init.sh: with or without a trusted signature. */
static void test_taint(void **state)
{
	(void)state;
	assert_int_equal(!!(tainted() & TAINT_UNSIGNED), !trusted);
	assert_int_equal(!!(tainted() & TAINT_OOT), 1);
	assert_int_equal(unload(), 0);
	enforce();
}

static void test_signed(void **state)
{
	const int err = load(signed_size);
	int fd;

	(void)state;
	assert_int_equal(err, trusted ? 0 : EKEYREJECTED);
	if (!trusted)
		return;
	fd = open_buffer(K2U_BACKING_VMALLOC, 12345);
	assert_int_equal(kernel_hash(fd, 12345), kernel_hash(fd, 12345));
	close(fd);
	assert_int_equal(tainted() & TAINT_UNSIGNED, 0);
	assert_int_equal(unload(), 0);
}

static void test_unsigned(void **state)
{
	(void)state;
	assert_int_equal(load(plain_size), EKEYREJECTED);
}

/* A bit of the code; of the signature; of its length. */
static void test_corrupted(void **state)
{
	const size_t at[] = { plain_size / 2,
			      plain_size + (signed_size - plain_size) / 2,
			      signed_size - strlen(MARKER) - 1 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		int err;

		image[at[i]] ^= 1;
		err = load(signed_size);
		image[at[i]] ^= 1;
		printf("# byte %zu of %zu: %s\n", at[i], signed_size,
		       strerror(err));
		if (trusted && !i)
			assert_int_equal(err, EKEYREJECTED);
		assert_int_not_equal(err, 0);
		assert_int_equal(access("/sys/module/k2u", F_OK), -1);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taint),
		cmocka_unit_test(test_unsigned),
		cmocka_unit_test(test_corrupted),
		cmocka_unit_test(test_signed),
	};
	int failed;

	trusted = argc > 1 && !strcmp(argv[1], "trusted");
	read_image();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	/* For guest-init.sh to unload */
	if (trusted && load(signed_size))
		failed++;
	return failed;
}
