/* SPDX-License-Identifier: MIT */
/* The ring on its own: threads at random speeds, consumers that leave or never move, positions that
 * no 32-bit number holds. Every consumer checks byte = f(position) when it releases it, because
 * ThreadSanitizer cannot see races between the two addresses of a double mapping. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "base/threads.h"
#include "pipeline/ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONSUMERS 6

static uint8_t byte_at(uint64_t p)
{
	return (uint8_t)((p * 0x9E3779B97F4A7C15ull) >> 53);
}

enum behaviour { READS, LEAVES_EARLY, NEVER_MOVES_AND_IS_GIVEN_UP };

struct consumer {
	struct ring *ring;
	size_t index;
	unsigned seed;
	uint64_t start, leave_at;
	uint64_t seen; /* bytes that were right */
	uint64_t wrong; /* position of the first wrong one, UINT64_MAX: none */
	size_t want;
	bool slow;
	enum behaviour behaviour;
	pthread_t thread;
};

struct run {
	size_t size;
	enum ring_mapping mapping;
	size_t consumers;
	uint64_t start, len;
	uint64_t stop_at; /* 0: runs to its end */
};

static void pause_randomly(unsigned *seed, bool slow)
{
	unsigned r = (unsigned)rand_r(seed);

	if (r % (slow ? 4 : 64) == 0)
		nanosleep(&(struct timespec){ .tv_nsec = (long)(r % 40000) }, NULL);
}

static size_t span(const struct run *run, const struct ring *ring, uint64_t p, uint64_t len)
{
	/* A single mapping ends at the ring's end. */
	if (run->mapping == RING_SINGLE)
		len = min_u64(len, ring_size(ring) - p % ring_size(ring));
	return (size_t)len;
}

static void *consume(void *arg)
{
	struct consumer *c = arg;
	uint64_t p = c->start, decoded;
	bool finished;

	if (c->behaviour == NEVER_MOVES_AND_IS_GIVEN_UP)
		return NULL; /* its owner detaches it */
	while (ring_wait_decoded(c->ring, p, p + c->want, &decoded, &finished)) {
		while (p < decoded) {
			uint64_t n = min_u64(decoded - p, 1 + (uint64_t)rand_r(&c->seed) % 9000);

			for (uint64_t i = p; i < p + n; i++)
				if (*ring_at(c->ring, i) != byte_at(i)) {
					c->wrong = min_u64(c->wrong, i);
					break;
				}
			p += n;
			c->seen += n;
			ring_release(c->ring, c->index, p);
			pause_randomly(&c->seed, c->slow);
			if (c->behaviour == LEAVES_EARLY && p >= c->leave_at) {
				ring_detach(c->ring, c->index);
				return NULL;
			}
		}
		if (finished && p == decoded)
			break;
	}
	ring_detach(c->ring, c->index);
	return NULL;
}

static bool produce(const struct run *run, struct ring *ring, unsigned seed)
{
	uint64_t p = run->start, end = run->start + run->len;

	while (p < end) {
		uint64_t n = min_u64(end - p, 1 + (uint64_t)rand_r(&seed) % (run->size / 3));

		n = span(run, ring, p, n);
		if (!ring_wait_room(ring, p + n))
			return false;
		for (uint64_t i = p; i < p + n; i++)
			*ring_at(ring, i) = byte_at(i);
		p += n;
		ring_publish(ring, p);
		pause_randomly(&seed, false);
		if (run->stop_at && p - run->start >= run->stop_at)
			ring_stop(ring);
	}
	ring_finish(ring);
	return true;
}

/* Brings all cursors to start without touching a byte. */
static void wind_to(struct ring *ring, size_t consumers, uint64_t start)
{
	for (uint64_t p = 0; p < start;) {
		p = min_u64(start, p + ring_size(ring));
		assert_true(ring_wait_room(ring, p));
		ring_publish(ring, p);
		for (size_t i = 0; i < consumers; i++)
			ring_release(ring, i, p);
	}
}

static void run_ring(const struct run *run, const struct consumer *like)
{
	struct consumer c[MAX_CONSUMERS];
	struct bmap_error err;
	struct ring *ring = ring_new(run->size, run->consumers, run->mapping, NULL, &err);
	bool whole;

	if (!ring)
		fail_msg("%s", err.text);
	wind_to(ring, run->consumers, run->start);
	for (size_t i = 0; i < run->consumers; i++) {
		c[i] = like[i];
		c[i].ring = ring;
		c[i].index = i;
		c[i].seed = (unsigned)(i * 77 + run->len);
		c[i].start = run->start;
		c[i].wrong = UINT64_MAX;
		assert_true(thread_start(&c[i].thread, "consumer", consume, &c[i], &err));
		if (c[i].behaviour == NEVER_MOVES_AND_IS_GIVEN_UP) {
			pthread_join(c[i].thread, NULL);
			ring_detach(ring, i);
		}
	}
	whole = produce(run, ring, 5);
	assert_int_equal(whole, run->stop_at == 0);
	for (size_t i = 0; i < run->consumers; i++) {
		if (c[i].behaviour != NEVER_MOVES_AND_IS_GIVEN_UP)
			pthread_join(c[i].thread, NULL);
		assert_int_equal(c[i].wrong, UINT64_MAX);
		if (!run->stop_at && c[i].behaviour == READS)
			assert_int_equal(c[i].seen, run->len);
	}
	ring_free(ring);
}

static const struct consumer everyone_reads[MAX_CONSUMERS] = {
	{ .want = 1 },     { .want = 5000, .slow = true },
	{ .want = 70000 }, { .want = 1u << 30 },
	{ .want = 1 },     { .want = 4096 },
};

static const struct run mappings[] = {
	{ .size = 64 * KIB, .mapping = RING_SINGLE, .len = 3 * MIB },
	{ .size = RING_ALIGN_BYTES, .mapping = RING_DOUBLE, .len = 9 * MIB },
};

static void every_consumer_sees_every_byte_at_random_speeds(void **state)
{
	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(mappings); m++)
		for (size_t n = 1; n <= MAX_CONSUMERS; n += 2) {
			struct run run = mappings[m];

			run.consumers = n;
			run_ring(&run, everyone_reads);
		}
}

static void positions_beyond_32_bits_are_like_any_other(void **state)
{
	static const uint64_t starts[] = {
		(1ull << 32) - 100000, /* the border lies in the run */
		(1ull << 32) + 12345, (7ull << 32) - 1, /* not a multiple of anything */
	};
	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(mappings); m++)
		for (size_t i = 0; i < ARRAY_LEN(starts); i++) {
			struct run run = mappings[m];

			run.consumers = 3;
			run.start = starts[i];
			run.len = MIB;
			run_ring(&run, everyone_reads);
		}
}

static void a_consumer_that_leaves_at_any_step_holds_nobody_up(void **state)
{
	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(mappings); m++)
		for (size_t who = 0; who < 3; who++)
			for (uint64_t at = 0; at < 300000; at += 61111) {
				struct consumer like[MAX_CONSUMERS];
				struct run run = mappings[m];

				memcpy(like, everyone_reads, sizeof(like));
				like[who].behaviour = LEAVES_EARLY;
				like[who].leave_at = at;
				run.consumers = 3;
				run.len = MIB;
				run_ring(&run, like);
			}
}

static void a_consumer_that_never_moves_can_be_given_up(void **state)
{
	struct consumer like[MAX_CONSUMERS];

	(void)state;
	memcpy(like, everyone_reads, sizeof(like));
	like[1].behaviour = NEVER_MOVES_AND_IS_GIVEN_UP;
	for (size_t m = 0; m < ARRAY_LEN(mappings); m++) {
		struct run run = mappings[m];

		run.consumers = 4;
		run_ring(&run, like);
	}
}

static void a_stop_at_any_moment_wakes_everybody(void **state)
{
	(void)state;
	for (size_t m = 0; m < ARRAY_LEN(mappings); m++)
		for (uint64_t at = 1; at < 2 * MIB; at = at * 3 + 7) {
			struct run run = mappings[m];

			run.consumers = 4;
			run.stop_at = at;
			run.len = 3 * MIB;
			run_ring(&run, everyone_reads);
		}
}

static void *release_later(void *arg)
{
	struct ring *ring = arg;

	usleep(20000);
	ring_release(ring, 0, 4096);
	return NULL;
}

static void nothing_is_written_over_what_one_consumer_still_needs(void **state)
{
	struct bmap_error err;
	struct ring *ring = ring_new(64 * KIB, 2, RING_SINGLE, NULL, &err);
	pthread_t thread;

	(void)state;
	ring_publish(ring, 64 * KIB);
	ring_release(ring, 1, 64 * KIB);
	assert_int_equal(ring_room_end(ring), 64 * KIB);
	assert_true(thread_start(&thread, "later", release_later, ring, &err));
	assert_true(ring_wait_room(ring, 64 * KIB + 4096));
	assert_int_equal(ring_room_end(ring), 64 * KIB + 4096);
	pthread_join(thread, NULL);
	ring_detach(ring, 0);
	assert_int_equal(ring_room_end(ring), 128 * KIB);
	ring_free(ring);
}

static void *wait_for_room(void *arg)
{
	struct ring *ring = arg;

	return ring_wait_room(ring, 64 * KIB + 1) ? ring : NULL;
}

/* Each waits for what only the other can release, but for the rule that a full ring is enough. */
static void a_consumer_that_wants_more_than_the_ring_holds_gets_what_there_is(void **state)
{
	struct bmap_error err;
	struct ring *ring = ring_new(64 * KIB, 1, RING_SINGLE, NULL, &err);
	uint64_t decoded;
	pthread_t thread;
	bool finished;
	void *got;

	(void)state;
	ring_publish(ring, 64 * KIB);
	assert_true(thread_start(&thread, "producer", wait_for_room, ring, &err));
	assert_true(ring_wait_decoded(ring, 0, MIB, &decoded, &finished));
	assert_int_equal(decoded, 64 * KIB);
	assert_false(finished);
	ring_release(ring, 0, 1);
	pthread_join(thread, &got);
	assert_ptr_equal(got, ring);
	ring_free(ring);
}

static void count_wake(void *arg)
{
	atomic_fetch_add((atomic_uint *)arg, 1);
}

static void the_waker_is_called_once_for_each_arming(void **state)
{
	struct bmap_error err;
	struct ring *ring = ring_new(64 * KIB, 1, RING_SINGLE, NULL, &err);
	atomic_uint wakes = 0;
	pthread_t thread;

	(void)state;
	ring_set_waker(ring, count_wake, &wakes);
	ring_publish(ring, 100);
	assert_int_equal(wakes, 0); /* not armed */
	ring_arm_waker(ring, 100, 200);
	ring_publish(ring, 199);
	assert_int_equal(wakes, 0);
	ring_publish(ring, 200);
	ring_publish(ring, 300);
	assert_int_equal(wakes, 1);
	ring_arm_waker(ring, 0, 300); /* there already */
	assert_int_equal(wakes, 2);
	ring_publish(ring, 64 * KIB);
	ring_arm_waker(ring, 300, MIB); /* less than wanted, but the producer waits for room */
	assert_true(thread_start(&thread, "producer", wait_for_room, ring, &err));
	while (atomic_load(&wakes) < 3)
		usleep(100);
	ring_release(ring, 0, 64 * KIB);
	pthread_join(thread, NULL);
	ring_arm_waker(ring, 64 * KIB, MIB);
	ring_finish(ring);
	assert_int_equal(wakes, 4);
	ring_free(ring);
}

static void *wait_for_data(void *arg)
{
	struct consumer *c = arg;
	uint64_t decoded;
	bool finished;

	if (ring_wait_decoded(c->ring, 0, c->want, &decoded, &finished)) {
		c->seen = decoded;
		ring_release(c->ring, c->index, decoded);
	}
	return NULL;
}

/* Workers decode units side by side: one waits for room for its unit while another one publishes
 * an older one. Who sleeps until there is more must make do with that. */
static void bytes_that_come_while_another_thread_waits_for_room_are_enough(void **state)
{
	struct ring *ring = ring_new(64 * KIB, 2, RING_SINGLE, NULL, NULL);
	struct consumer c = { .ring = ring, .want = 50000 };
	atomic_uint wakes = 0;
	pthread_t producer;

	(void)state;
	assert_non_null(ring);
	ring_set_waker(ring, count_wake, &wakes);
	ring_arm_waker(ring, 0, 50000);
	pthread_create(&c.thread, NULL, wait_for_data, &c);
	pthread_create(&producer, NULL, wait_for_room, ring);
	usleep(50000); /* both sleep: there is nothing yet to make do with */
	ring_publish(ring, 100);
	ring_release(ring, 1, 100);
	for (int i = 0; i < 500 && !(atomic_load(&wakes) && ring_room_end(ring) > 64 * KIB); i++)
		usleep(10000);
	assert_int_equal(atomic_load(&wakes), 1);
	assert_int_equal(ring_room_end(ring), 64 * KIB + 100);
	pthread_join(c.thread, NULL);
	pthread_join(producer, NULL);
	assert_int_equal(c.seen, 100);
	ring_free(ring);
}

/* The last mapped byte may have passed long before the source ends, and verify of a map without
 * checksums has no consumer at all. */
static void with_no_consumer_left_what_is_published_is_room(void **state)
{
	static const size_t consumers[] = { 0, 1 };
	struct bmap_error err;
	pthread_t producer;
	void *got = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(consumers); i++) {
		struct ring *ring = ring_new(64 * KIB, consumers[i], RING_SINGLE, NULL, &err);
		int waited = ETIMEDOUT;

		assert_non_null(ring);
		if (consumers[i])
			ring_detach(ring, 0);
		assert_true(thread_start(&producer, "producer", wait_for_room, ring, &err));
		usleep(50000);
		ring_publish(ring, 100);
		for (int k = 0; k < 500 && waited; k++) {
			usleep(10000);
			waited = pthread_tryjoin_np(producer, &got);
		}
		assert_int_equal(waited, 0);
		assert_ptr_equal(got, ring);
		ring_free(ring);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_consumer_sees_every_byte_at_random_speeds),
		cmocka_unit_test(positions_beyond_32_bits_are_like_any_other),
		cmocka_unit_test(a_consumer_that_leaves_at_any_step_holds_nobody_up),
		cmocka_unit_test(a_consumer_that_never_moves_can_be_given_up),
		cmocka_unit_test(a_stop_at_any_moment_wakes_everybody),
		cmocka_unit_test(nothing_is_written_over_what_one_consumer_still_needs),
		cmocka_unit_test(a_consumer_that_wants_more_than_the_ring_holds_gets_what_there_is),
		cmocka_unit_test(the_waker_is_called_once_for_each_arming),
		cmocka_unit_test(bytes_that_come_while_another_thread_waits_for_room_are_enough),
		cmocka_unit_test(with_no_consumer_left_what_is_published_is_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
