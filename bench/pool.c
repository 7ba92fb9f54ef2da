// SPDX-License-Identifier: GPL-2.0
/* pool.c - N threads, or N processes, that do a job at the same time. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pool.h"

/* Looks at the others before it lets one of them have its CPU */
#define SPINS 1000

/* The job, and who does it: memory that parent and children share */
struct board {
	sem_t done;
	atomic_uint ready;
	job_fn fn; /* NULL: go home */
	const struct cell *cell;
	uint64_t n;
	bool timed;
	unsigned int of;
	sem_t go[MAX_THREADS]; /* one each: who is fast takes no other's */
	struct worker worker[];
};

struct pool {
	struct board *board;
	size_t len;
	unsigned int started;
	bool processes, broken;
	pthread_t thread[MAX_THREADS];
	pid_t pid[MAX_THREADS];
};

struct start {
	struct board *board;
	struct worker *worker;
};

/* Before the window, and after it */
static void account(struct worker *w, int sign)
{
	struct timespec cpu;
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
	w->on_cpu += sign * (cpu.tv_sec * 1000000000LL + cpu.tv_nsec);
	w->faults += sign * (usage.ru_minflt + usage.ru_majflt);
	w->voluntary += sign * usage.ru_nvcsw;
	w->involuntary += sign * usage.ru_nivcsw;
}

/* A futex would wake them one after the other: each waits on its feet */
static void meet(struct board *b)
{
	unsigned int i = 0;

	atomic_fetch_add(&b->ready, 1);
	while (atomic_load(&b->ready) < b->of)
		if (++i % SPINS == 0)
			sched_yield();
}

static void do_job(struct board *b, struct worker *w)
{
	if (!b->timed) {
		w->err = b->fn(w, b->cell, b->n);
		return;
	}
	w->on_cpu = w->faults = w->voluntary = w->involuntary = 0;
	meet(b);
	account(w, -1);
	w->start = now();
	w->err = b->fn(w, b->cell, b->n);
	w->end = now();
	account(w, 1);
}

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) && errno == EINTR)
		;
}

static void work(struct board *b, struct worker *w, bool process)
{
	place_run_on(w->cpu);
	for (;;) {
		wait_for(&b->go[w->id]);
		if (!b->fn)
			return;
		if (process)
			thp_allow(b->cell->src->flags & SOURCE_HUGE);
		do_job(b, w);
		sem_post(&b->done);
	}
}

static void *thread_main(void *arg)
{
	struct start *s = arg;
	struct board *b = s->board;
	struct worker *w = s->worker;

	free(s);
	work(b, w, false);
	return NULL;
}

static int start_thread(struct pool *p, unsigned int i)
{
	struct start *s = malloc(sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	*s = (struct start){ p->board, &p->board->worker[i] };
	err = pthread_create(&p->thread[i], NULL, thread_main, s);
	if (err)
		free(s);
	return -err;
}

static int start_process(struct pool *p, unsigned int i)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		return -errno;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* It may have died before that */
		if (getppid() == parent)
			work(p->board, &p->board->worker[i], true);
		_exit(0);
	}
	p->pid[i] = pid;
	return 0;
}

static bool is_caller(const struct pool *p, unsigned int i)
{
	return !p->processes && !i;
}

int pool_begin(struct pool **out, const struct options *o, unsigned int n,
	       bool processes)
{
	struct pool *p = calloc(1, sizeof(*p));
	struct board *b;
	unsigned int i;
	int err = 0;

	*out = NULL;
	if (!p)
		return -ENOMEM;
	p->processes = processes;
	p->len = sizeof(*b) + n * sizeof(b->worker[0]);
	b = mmap(NULL, p->len, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (b == MAP_FAILED) {
		free(p);
		return -ENOMEM;
	}
	p->board = b;
	b->of = n;
	sem_init(&b->done, 1, 0);
	for (i = 0; i < n && !err; i++) {
		b->worker[i].id = i;
		b->worker[i].of = n;
		b->worker[i].cpu = env_cpu(o, i);
		sem_init(&b->go[i], 1, 0);
		if (!is_caller(p, i))
			err = processes ? start_process(p, i) :
					  start_thread(p, i);
		if (!err)
			p->started++;
	}
	if (err) {
		pool_end(p);
		return err;
	}
	*out = p;
	return 0;
}

void pool_end(struct pool *p)
{
	struct board *b = p->board;
	unsigned int i;

	b->fn = NULL;
	for (i = 0; i < p->started; i++) {
		if (is_caller(p, i))
			continue;
		if (!p->processes) {
			sem_post(&b->go[i]);
			pthread_join(p->thread[i], NULL);
		} else if (p->pid[i]) {
			/* One that waits for a dead one never comes home */
			kill(p->pid[i], SIGKILL);
			waitpid(p->pid[i], NULL, 0);
		}
	}
	munmap(b, p->len);
	free(p);
}

unsigned int pool_size(const struct pool *p)
{
	return p->board->of;
}

struct worker *pool_worker(struct pool *p, unsigned int i)
{
	return &p->board->worker[i];
}

/* A child that died has no news; its signal is in the kernel log, if anywhere */
static bool one_died(struct pool *p)
{
	unsigned int i;

	for (i = 0; p->processes && i < p->started; i++) {
		if (waitpid(p->pid[i], NULL, WNOHANG) != p->pid[i])
			continue;
		p->pid[i] = 0;
		p->broken = true;
	}
	return p->broken;
}

static int wait_for_all(struct pool *p, unsigned int others)
{
	struct timespec limit;

	while (others) {
		clock_gettime(CLOCK_MONOTONIC, &limit);
		limit.tv_sec++;
		if (!sem_clockwait(&p->board->done, CLOCK_MONOTONIC, &limit))
			others--;
		else if (errno == ETIMEDOUT && one_died(p))
			return -ECHILD;
	}
	return 0;
}

static int run_job(struct pool *p, job_fn fn, const struct cell *c, uint64_t n,
		   bool timed)
{
	struct board *b = p->board;
	unsigned int i, others = 0;
	int err;

	if (p->broken)
		return -ECHILD;
	b->fn = fn;
	b->cell = c;
	b->n = n;
	b->timed = timed;
	atomic_store(&b->ready, 0);
	for (i = 0; i < b->of; i++) {
		if (is_caller(p, i))
			continue;
		sem_post(&b->go[i]);
		others++;
	}
	if (is_caller(p, 0))
		do_job(b, &b->worker[0]);
	err = wait_for_all(p, others);
	for (i = 0; i < b->of && !err; i++)
		err = b->worker[i].err;
	return err;
}

int pool_run(struct pool *p, job_fn fn, const struct cell *c, uint64_t n)
{
	return run_job(p, fn, c, n, false);
}

int pool_time(struct pool *p, job_fn fn, const struct cell *c, uint64_t n)
{
	return run_job(p, fn, c, n, true);
}
