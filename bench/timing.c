// SPDX-License-Identifier: GPL-2.0
/*
 * timing.c - the clock, the one timed loop, and what both cost.
 *
 * A reading holds `clocks` pairs of clock reads, each of which costs one read
 * inside the window, and `loops` turns of timed_loop(), an indirect call each.
 * Both costs are measured on an empty operation at 1x and 2x the work and
 * subtracted; what is then left of an empty operation is the residual.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

static uint64_t clock_raw(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_RAW, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

uint64_t (*now)(void) = clock_raw;

__attribute__((noinline)) int timed_loop(op_fn op, void *arg, uint64_t n,
					 int64_t *elapsed)
{
	uint64_t i, start;
	int err = 0, ret;

	start = now();
	for (i = 0; i < n; i++) {
		ret = op(arg, i);
		if (ret)
			err = ret;
	}
	*elapsed = now() - start;
	return err;
}

static int op_empty(void *arg, uint64_t i)
{
	return 0;
}

static int cmp_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts v */
double median(double *v, unsigned int n)
{
	qsort(v, n, sizeof(*v), cmp_double);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

double timing_overhead(const struct timing *t, const struct reading *r)
{
	return (r->clocks * t->clock + r->loops * t->loop) / r->iters;
}

double timing_value(const struct timing *t, const struct reading *r)
{
	return (double)r->elapsed / r->iters - timing_overhead(t, r);
}

/* Bytes per unit of time: with ns that is 10^9 bytes per second */
double timing_rate(const struct timing *t, const struct reading *r,
		   uint64_t bytes)
{
	return bytes / timing_value(t, r);
}

static uint64_t clock_syscall(void)
{
	struct timespec t;

	syscall(SYS_clock_gettime, CLOCK_MONOTONIC_RAW, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

#define TRIES \
	101 /* order statistics 41 and 61 of 101 bound the median at 95 % */

static double clock_cost(uint64_t (*clock)(void))
{
	double v[TRIES];
	uint64_t t;
	int i;

	for (i = 0; i < TRIES; i++) {
		t = clock();
		v[i] = clock() - t;
	}
	return median(v, TRIES);
}

void timing_calibrate(struct timing *t, bool icount)
{
	const uint64_t n = icount ? 1 << 8 : 1 << 14;
	struct reading r = { .iters = n, .clocks = 1, .loops = n };
	int64_t once, twice, step;
	double v[TRIES];
	int i;

	t->clock = clock_cost(now);
	t->vdso = t->clock < 0.7 * clock_cost(clock_syscall);

	t->resolution = 1e9;
	for (i = 0; i < 1000; i++) {
		step = -now();
		step += now();
		if (step > 0 && step < t->resolution)
			t->resolution = step;
	}
	for (i = 0; i < TRIES; i++) {
		timed_loop(op_empty, NULL, n, &once);
		timed_loop(op_empty, NULL, 2 * n, &twice);
		v[i] = (double)(twice - once) / n;
	}
	t->loop = median(v, TRIES);
	for (i = 0; i < TRIES; i++) {
		timed_loop(op_empty, NULL, n, &r.elapsed);
		v[i] = timing_value(t, &r);
	}
	t->residual = median(v, TRIES);
	t->residual_low = v[40];
	t->residual_high = v[60];
}
