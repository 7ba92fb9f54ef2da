// SPDX-License-Identifier: GPL-2.0
/* 6.13: a timer is told its function where it is set up. */
#include <linux/hrtimer.h>

enum hrtimer_restart probe(struct hrtimer *timer);
enum hrtimer_restart probe(struct hrtimer *timer)
{
	hrtimer_setup(timer, probe, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
	return HRTIMER_NORESTART;
}
