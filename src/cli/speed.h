/* SPDX-License-Identifier: MIT */
/* cli/speed.h - how fast something goes now: over the last reports, so that it is steady.
 * Threads: one. */
#ifndef CLI_SPEED_H
#define CLI_SPEED_H

#include <stdint.h>

#define SPEED_SAMPLES 16
#define NS_PER_S 1000000000ull

struct speed { /* zeroed: nothing is known */
	struct {
		uint64_t at_ns, done_bytes;
	} sample[SPEED_SAMPLES];
	unsigned samples; /* all so far; the newest is at (samples - 1) % SPEED_SAMPLES */
};

/* Takes a report in; bytes a second between the oldest that is kept and this one. done_bytes never
 * falls: begin anew for another step. */
uint64_t speed_update(struct speed *speed, uint64_t now_ns, uint64_t done_bytes);
uint64_t speed_per_second(uint64_t bytes, uint64_t ns); /* 0 for 0 ns */

#endif
