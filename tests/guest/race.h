/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Threads that do things at random, in rounds, for a kernel that watches its locks and
 * its memory (6.12-debug; tests/debug.sh):
 *
 *	PROGRAM [SEED [ROUNDS]]
 *
 * A round is a process; every third one is killed within 200 ms, the others must end by
 * themselves with 0, and after each the module may hold nothing. What a thread does
 * follows from the seed; how threads meet does not. A program says what it does in
 * `race`.
 */
#ifndef K2U_RACE_H
#define K2U_RACE_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdnoreturn.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>

#include "guest.h"

#define DEVICE_FD 100 /* numbers that threads know, open or not */

struct thread {
	pthread_t id;
	uint64_t state; /* of its random numbers */
	char *buf;
};

static const struct race {
	const char *name;
	unsigned long rounds; /* unless ROUNDS says */
	void (*prepare)(void); /* once, before all rounds; NULL: nothing */
	int (*round)(uint64_t number); /* the status of its process */
	unsigned int settle_ms; /* what the module holds may go so much later */
	int allowed[12]; /* errors that a call among the others may give */
	struct {
		void (*run)(struct thread *t);
		unsigned int weight;
	} actions[24];
} race; /* the program's */

static uint64_t race_seed;

static inline uint64_t below(struct thread *t, uint64_t n)
{
	return k2u_pattern(race_seed, t->state++) % n;
}

static inline void start_at(struct thread *t, uint64_t round, unsigned int nr)
{
	t->state = (round << 32) + ((nr + 1ULL) << 24);
}

/* Ends the round: errno, and what it is about */
static inline noreturn void wrong(const char *what)
{
	dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(errno));
	_exit(2);
}

static inline void allow(long result, const char *what)
{
	if (result >= 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(race.allowed); i++)
		if (errno == race.allowed[i])
			return;
	wrong(what);
}

/* @fd is @number from now on; what was @number is closed */
static inline void renumber(int fd, int number)
{
	if (fd == number)
		return;
	allow(dup3(fd, number, O_CLOEXEC), "dup3");
	close(fd);
}

static inline void act(struct thread *t)
{
	unsigned int sum = 0, pick;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(race.actions); i++)
		sum += race.actions[i].weight;
	pick = (unsigned int)below(t, sum);
	for (i = 0; pick >= race.actions[i].weight; i++)
		pick -= race.actions[i].weight;
	race.actions[i].run(t);
}

/* Without a library call: another thread may hold its locks. -1: there is none */
static inline pid_t fork_alone(void)
{
	const pid_t pid =
		(pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	allow(pid, "fork");
	return pid;
}

static inline noreturn void end_child(void)
{
	for (;;)
		syscall(SYS_exit_group, 0);
}

static inline void await_child(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status) {
		dprintf(STDERR_FILENO, "a child: status %#x\n", status);
		_exit(2);
	}
}

/* A touch after sigsetjmp(escape, 1) that gets a signal comes back there */
static __thread sigjmp_buf escape;

static inline void on_fault(int signal)
{
	siglongjmp(escape, signal);
}

static inline void catch_faults(void)
{
	const struct sigaction action = { .sa_handler = on_fault };

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

static inline void test_rounds(void **state)
{
	const unsigned long *rounds = *state;
	struct thread self = { .state = 1ULL << 60 };
	int status;

	if (race.prepare)
		race.prepare();
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	for (unsigned long i = 0; i < *rounds; i++) {
		const bool kill_it = i % 3 == 2;
		const useconds_t after = (useconds_t)below(&self, 200000);
		const pid_t pid = fork();

		assert_true(pid >= 0);
		if (!pid)
			_exit(race.round(i));
		if (kill_it) {
			usleep(after);
			kill(pid, SIGKILL);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status && !(kill_it && status == SIGKILL))
			fail_msg("round %lu: status %#x", i, status);
		/* Its own children, which have become ours, end by themselves */
		while (waitpid(-1, NULL, 0) > 0)
			;
		for (unsigned int ms = 0;
		     ms < race.settle_ms && module_info().used_bytes; ms += 20)
			usleep(20 * 1000);
		assert_int_equal(module_info().used_bytes, 0);
	}
}

static inline int run_race(int argc, char **argv)
{
	unsigned long rounds = race.rounds;
	const struct CMUnitTest tests[] = {
		{ "rounds", test_rounds, NULL, NULL, &rounds },
	};

	if (argc > 1)
		race_seed = strtoull(argv[1], NULL, 0);
	else if (getrandom(&race_seed, sizeof(race_seed), 0) !=
		 sizeof(race_seed))
		return 1;
	if (argc > 2)
		rounds = strtoul(argv[2], NULL, 0);
	print_message("# seed %#llx, %lu rounds\n",
		      (unsigned long long)race_seed, rounds);
	return _cmocka_run_group_tests(race.name, tests, ARRAY_SIZE(tests),
				       NULL, NULL);
}

#endif /* K2U_RACE_H */
