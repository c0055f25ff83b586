/* SPDX-License-Identifier: MIT */
/* The rule. Latency is what a stop has to wait for, and what a wider window costs; below LOW it
 * costs nobody anything, so the window grows by half each round while it is what limits the lane.
 * Between LOW and HIGH the device is at work: one request more on trial, kept if the rate rose by
 * a twentieth, else taken back and not tried again for a while. Above HIGH requests only queue up:
 * a quarter less each round, down to two, which keep a device busy while one completion travels.
 * An SD card at 20 MB/s with requests of 1 MiB so settles at 2 or 3 in flight, an NVMe disk at the
 * limit in bytes. */
#include "pipeline/write_window.h"

#include "base/checked.h"
#include "base/clock.h"

#define LATENCY_LOW_NS (20 * NS_PER_MS)
#define LATENCY_HIGH_NS (150 * NS_PER_MS)
#define WINDOW_START 2u
#define ROUND_MIN_REQUESTS 4u
#define TRIAL_HOLD_ROUNDS 16u
#define SLOW_BYTES (8u * MIB) /* in flight at most, once the device has shown to be slow */
#define FAST_BYTES (32u * MIB)

static void round_judge(struct window *window, uint64_t rate, uint64_t latency_ns);

void window_init(struct window *window, unsigned fixed_requests, unsigned queue_tags)
{
	unsigned tags = queue_tags ? queue_tags : UINT32_MAX;

	*window = (struct window){ .fixed = fixed_requests > 0 };
	/* One tag stays free: a full queue makes the submitting thread sleep in the kernel. */
	window->max_tags = tags > 1 ? tags - 1 : 1;
	window->max_requests = fixed_requests
				       ? fixed_requests
				       : (unsigned)min_u64(WINDOW_MAX_REQUESTS, window->max_tags);
	window->requests = fixed_requests ? fixed_requests
					  : (unsigned)min_u64(WINDOW_START, window->max_requests);
	window->largest = window->requests;
}

bool window_allows(const struct window *window, size_t ring_bytes, unsigned in_flight,
		   size_t in_flight_bytes, unsigned in_flight_tags, size_t len, unsigned tags)
{
	size_t limit = window->latency_ns > LATENCY_LOW_NS ? SLOW_BYTES : FAST_BYTES;

	if (!in_flight)
		return true;
	if (in_flight >= window->requests)
		return false;
	if (window->fixed)
		return true;
	if (in_flight_tags + (uint64_t)tags > window->max_tags)
		return false;
	/* Half of the ring stays for the producer and the others: else requests become as small as
	 * the room that each completion makes. */
	return in_flight_bytes + len <= min_u64(limit, ring_bytes / 2);
}

void window_limited(struct window *window)
{
	window->round_limited = true;
}

void window_completed(struct window *window, size_t bytes, uint64_t queued_ns, uint64_t now_ns)
{
	uint64_t elapsed_ns;

	if (!window->round_begin_ns)
		window->round_begin_ns = queued_ns;
	window->round_requests++;
	window->round_bytes += bytes;
	window->round_latency_ns += now_ns - queued_ns;
	if (window->round_requests < max_u64(window->requests, ROUND_MIN_REQUESTS))
		return;
	elapsed_ns = max_u64(now_ns - window->round_begin_ns, 1);
	if (!window->fixed)
		round_judge(window,
			    (uint64_t)((double)window->round_bytes * 1e9 / (double)elapsed_ns),
			    window->round_latency_ns / window->round_requests);
	if (window->requests > window->largest)
		window->largest = window->requests;
	window->round_begin_ns = now_ns;
	window->round_requests = 0;
	window->round_bytes = window->round_latency_ns = 0;
	window->round_limited = false;
}

static void round_judge(struct window *window, uint64_t rate, uint64_t latency_ns)
{
	unsigned least = (unsigned)min_u64(WINDOW_START, window->max_requests);
	unsigned n = window->requests;
	bool gained = rate > window->rate + window->rate / 20;

	window->rate = rate;
	window->latency_ns = latency_ns;
	if (window->hold)
		window->hold--;
	if (latency_ns > LATENCY_HIGH_NS) {
		n -= n > 4 ? n / 4 : 1;
		window->grew = false;
		window->hold = TRIAL_HOLD_ROUNDS;
	} else if (window->grew && !gained) {
		n--;
		window->grew = false;
		window->hold = TRIAL_HOLD_ROUNDS;
	} else if (!window->round_limited) {
		window->grew = false;
	} else if (latency_ns < LATENCY_LOW_NS) {
		n += (n + 1) / 2;
		window->grew = false;
	} else if (!window->hold) {
		n++;
		window->grew = true;
	}
	window->requests = (unsigned)min_u64(max_u64(n, least), window->max_requests);
}
