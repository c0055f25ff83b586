/* SPDX-License-Identifier: MIT */
/* pipeline/write_straggler.h - which target holds the others below half of their own speed. Pure
 * arithmetic over what each lane did in a span of time; write_straggler.c has the rule.
 *
 * Threads: belongs to the write stage's thread. */
#ifndef PIPELINE_WRITE_STRAGGLER_H
#define PIPELINE_WRITE_STRAGGLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STRAGGLER_NONE SIZE_MAX

/* What a lane did since the span began. */
struct straggler_share {
	bool running; /* has ring bytes still to write; the others take no part */
	uint64_t busy_ns; /* at least one request was in flight */
	uint64_t holding_ns; /* and more waited behind it, or the decoder for its room */
};

/* room_wait_ns: the decoder waited for room because of a target. Index of the slowest one that
 * holds the others, or STRAGGLER_NONE. */
size_t straggler_find(const struct straggler_share *lanes, size_t count, uint64_t span_ns,
		      uint64_t room_wait_ns);

#endif
