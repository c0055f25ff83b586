/* SPDX-License-Identifier: MIT */
/* pipeline/write_window.h - how many requests a lane may have in flight: starts small, grows while
 * the device answers fast, shrinks when requests only wait in its queue. Pure arithmetic.
 *
 * Threads: belongs to the write stage's thread. */
#ifndef PIPELINE_WRITE_WINDOW_H
#define PIPELINE_WRITE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WINDOW_MAX_REQUESTS 64u

struct window {
	unsigned requests; /* allowed in flight now */
	unsigned largest; /* that it ever was */
	unsigned max_requests;
	unsigned max_tags; /* of the device's queue that may be used at once */
	bool fixed; /* the user's number: neither grows nor shrinks, tags and bytes do not count */
	/* The round: as many completions as the window is wide. */
	uint64_t round_begin_ns;
	unsigned round_requests;
	uint64_t round_bytes;
	uint64_t round_latency_ns; /* sum */
	bool round_limited; /* a request had to wait for the window */
	/* The round before: */
	uint64_t latency_ns; /* mean, 0: none yet */
	uint64_t rate; /* bytes a second */
	bool grew; /* by one, on trial */
	unsigned hold; /* rounds to go until the next trial */
};

/* fixed_requests 0: adaptive. queue_tags 0: the device has no queue that counts. */
void window_init(struct window *window, unsigned fixed_requests, unsigned queue_tags);
/* May a request of len bytes that costs tags go beside what is in flight? One always may. */
bool window_allows(const struct window *window, size_t ring_bytes, unsigned in_flight,
		   size_t in_flight_bytes, unsigned in_flight_tags, size_t len, unsigned tags);
/* window_allows() held a request back: growing may help. */
void window_limited(struct window *window);
void window_completed(struct window *window, size_t bytes, uint64_t queued_ns, uint64_t now_ns);

#endif
