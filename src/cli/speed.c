/* SPDX-License-Identifier: MIT */
#include "cli/speed.h"

uint64_t speed_per_second(uint64_t bytes, uint64_t ns)
{
	return ns ? (uint64_t)((double)bytes * NS_PER_S / (double)ns) : 0;
}

uint64_t speed_update(struct speed *speed, uint64_t now_ns, uint64_t done_bytes)
{
	unsigned newest = speed->samples % SPEED_SAMPLES;
	unsigned oldest;

	speed->sample[newest].at_ns = now_ns;
	speed->sample[newest].done_bytes = done_bytes;
	speed->samples++;
	oldest = speed->samples < SPEED_SAMPLES ? 0 : speed->samples % SPEED_SAMPLES;
	return speed_per_second(done_bytes - speed->sample[oldest].done_bytes,
				now_ns - speed->sample[oldest].at_ns);
}
