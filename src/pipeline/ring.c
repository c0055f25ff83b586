/* SPDX-License-Identifier: MIT */
#include "pipeline/ring.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/mirror.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64

/* Positions of consumers that need nothing any more. */
#define DETACHED UINT64_MAX

/* A cursor has one writer. All accesses are sequentially consistent: a sleeper announces itself and
 * then looks at the cursor, the mover moves it and then looks for sleepers; with anything weaker
 * both could miss the other. On x86 that costs one locked store a move. */
struct cursor {
	_Alignas(CACHE_LINE) _Atomic uint64_t position;
};

struct ring {
	struct mirror mirror; /* constant after ring_new(), as are the next four */
	uint8_t *base;
	size_t size;
	enum ring_mapping mapping;
	size_t consumer_count;
	void (*wake)(void *arg); /* constant once armed */
	void *wake_arg;

	struct cursor decoded; /* producer stores */
	atomic_bool finished; /* producer stores, after the last move of decoded */
	atomic_bool stopped; /* any thread, under lock */
	_Atomic uint64_t
		room_want; /* the producer sleeps until there is room up to here; 0: awake */
	_Atomic uint64_t data_want; /* least position that a sleeping consumer waits for; under
				       lock, but for the producer's look. UINT64_MAX: none sleeps */
	_Atomic uint64_t
		waker_want; /* sleeper elsewhere: wake at this position; UINT64_MAX: not armed */
	_Atomic uint64_t waker_have; /* and it knows of the bytes up to here */
	_Atomic uint64_t data_wait_ns;

	pthread_mutex_t lock; /* to sleep, wake and stop, never for the bytes */
	uint64_t room_wait_ns; /* lock; of waits that have ended */
	uint64_t room_wait_began_ns; /* lock; of one that lasts, else 0 */
	pthread_cond_t data; /* decoded moved, the producer waits, finished, or stopped */
	pthread_cond_t room; /* a consumer moved (or, with none left, decoded), or stopped */

	struct cursor consumer[]; /* [i]: consumer i stores */
};

struct ring *ring_new(size_t size, size_t consumers, enum ring_mapping mapping,
		      const struct bmap_log *log, struct bmap_error *err)
{
	size_t bytes =
		align_up(sizeof(struct ring) + consumers * sizeof(struct cursor), CACHE_LINE);
	struct ring *ring = aligned_alloc(CACHE_LINE, bytes);

	if (!ring) {
		bmap_error_memory(err, "ring");
		return NULL;
	}
	memset(ring, 0, bytes);
	ring->size = size;
	ring->mapping = mapping;
	ring->consumer_count = consumers;
	atomic_init(&ring->waker_want, UINT64_MAX);
	atomic_init(&ring->data_want, UINT64_MAX);
	pthread_mutex_init(&ring->lock, NULL);
	pthread_cond_init(&ring->data, NULL);
	pthread_cond_init(&ring->room, NULL);
	if (mapping == RING_SINGLE) {
		ring->base = aligned_alloc(4096, size);
		if (!ring->base)
			bmap_error_memory(err, "ring");
	} else if (mirror_map(&ring->mirror, size, err)) {
		ring->base = ring->mirror.base;
		log_debug(log, "ring of %zu KiB%s", size / KIB,
			  ring->mirror.huge_pages ? " in huge pages" : ", no huge pages");
	}
	if (!ring->base) {
		ring_free(ring);
		return NULL;
	}
	return ring;
}

void ring_free(struct ring *ring)
{
	if (!ring)
		return;
	if (ring->mapping == RING_SINGLE)
		free(ring->base);
	else
		mirror_unmap(&ring->mirror);
	pthread_cond_destroy(&ring->room);
	pthread_cond_destroy(&ring->data);
	pthread_mutex_destroy(&ring->lock);
	free(ring);
}

size_t ring_size(const struct ring *ring)
{
	return ring->size;
}

uint8_t *ring_base(const struct ring *ring)
{
	return ring->base;
}

uint8_t *ring_at(const struct ring *ring, uint64_t position)
{
	return ring->base + position % ring->size;
}

uint64_t ring_tail(const struct ring *ring)
{
	uint64_t lowest = DETACHED;

	for (size_t i = 0; i < ring->consumer_count; i++)
		lowest = min_u64(lowest, atomic_load(&ring->consumer[i].position));
	/* Whoever detached holds nothing; with no consumer left all that is decoded is free. */
	return min_u64(lowest, atomic_load(&ring->decoded.position));
}

uint64_t ring_room_end(const struct ring *ring)
{
	return ring_tail(ring) + ring->size;
}

static void call_waker(struct ring *ring)
{
	/* Once for each arming: the exchange lets one caller through. Only then wake is read: it
	 * was set before the arming, which may be long after the producer was started. */
	if (atomic_exchange(&ring->waker_want, UINT64_MAX) != UINT64_MAX)
		ring->wake(ring->wake_arg);
}

static void wake_consumers(struct ring *ring)
{
	pthread_mutex_lock(&ring->lock);
	/* All of them look, and say again what they want if they go on sleeping. */
	atomic_store(&ring->data_want, UINT64_MAX);
	pthread_cond_broadcast(&ring->data);
	pthread_mutex_unlock(&ring->lock);
}

bool ring_wait_room(struct ring *ring, uint64_t end)
{
	if (atomic_load(&ring->stopped))
		return false;
	if (ring_room_end(ring) >= end)
		return true;
	pthread_mutex_lock(&ring->lock);
	ring->room_wait_began_ns = clock_now_ns();
	atomic_store(&ring->room_want, end);
	/* Consumers that sleep until there is more must now make do with what is there. */
	pthread_cond_broadcast(&ring->data);
	if (atomic_load(&ring->waker_have) < atomic_load(&ring->decoded.position))
		call_waker(ring);
	while (ring_room_end(ring) < end && !atomic_load(&ring->stopped))
		pthread_cond_wait(&ring->room, &ring->lock);
	atomic_store(&ring->room_want, 0);
	ring->room_wait_ns += clock_now_ns() - ring->room_wait_began_ns;
	ring->room_wait_began_ns = 0;
	pthread_mutex_unlock(&ring->lock);
	return !atomic_load(&ring->stopped);
}

static void wake_producer(struct ring *ring)
{
	uint64_t want = atomic_load(&ring->room_want);

	if (want && ring_room_end(ring) >= want) {
		pthread_mutex_lock(&ring->lock);
		pthread_cond_signal(&ring->room);
		pthread_mutex_unlock(&ring->lock);
	}
}

void ring_publish(struct ring *ring, uint64_t position)
{
	uint64_t want;
	bool pressed;

	assert(position >= atomic_load_explicit(&ring->decoded.position, memory_order_relaxed));
	assert(position <= ring_room_end(ring));
	atomic_store(&ring->decoded.position, position);
	/* One thread of the producer may wait for room while another one publishes: a sleeper that
	 * had nothing to make do with when that wait began has these bytes now. */
	pressed = atomic_load(&ring->room_want) != 0;
	if (position >= atomic_load(&ring->waker_want) ||
	    (pressed && position > atomic_load(&ring->waker_have)))
		call_waker(ring);
	want = atomic_load(&ring->data_want);
	if (position >= want || (pressed && want != UINT64_MAX))
		wake_consumers(ring);
	/* With no consumer left, this is what makes room. */
	if (pressed)
		wake_producer(ring);
}

void ring_finish(struct ring *ring)
{
	atomic_store(&ring->finished, true);
	call_waker(ring);
	wake_consumers(ring);
}

uint64_t ring_decoded(const struct ring *ring, bool *finished)
{
	/* In this order: what was published before the end is then seen, too. */
	*finished = atomic_load(&ring->finished);
	return atomic_load(&ring->decoded.position);
}

/* Asleep for want of room, and not just about to wake up: then a consumer that came back for the
 * few bytes there are would only come again, at once. */
static bool producer_stuck(const struct ring *ring)
{
	uint64_t want = atomic_load(&ring->room_want);

	return want && ring_room_end(ring) < want;
}

static bool enough(const struct ring *ring, uint64_t have, uint64_t want)
{
	bool finished;
	uint64_t decoded = ring_decoded(ring, &finished);

	return decoded >= want || finished || (decoded > have && producer_stuck(ring));
}

bool ring_wait_decoded(struct ring *ring, uint64_t have, uint64_t want, uint64_t *decoded,
		       bool *finished)
{
	uint64_t began;

	if (!enough(ring, have, want) && !atomic_load(&ring->stopped)) {
		began = clock_now_ns();
		pthread_mutex_lock(&ring->lock);
		for (;;) {
			/* Before the look, so that a move after it is not missed. */
			if (want < atomic_load(&ring->data_want))
				atomic_store(&ring->data_want, want);
			if (enough(ring, have, want) || atomic_load(&ring->stopped))
				break;
			pthread_cond_wait(&ring->data, &ring->lock);
		}
		pthread_mutex_unlock(&ring->lock);
		atomic_fetch_add(&ring->data_wait_ns, clock_now_ns() - began);
	}
	*decoded = ring_decoded(ring, finished);
	return !atomic_load(&ring->stopped);
}

static void move_consumer(struct ring *ring, size_t consumer, uint64_t position)
{
	assert(consumer < ring->consumer_count);
	assert(position >=
	       atomic_load_explicit(&ring->consumer[consumer].position, memory_order_relaxed));
	atomic_store(&ring->consumer[consumer].position, position);
	/* Of several that move at once, the last sees the others' moves. */
	wake_producer(ring);
}

void ring_release(struct ring *ring, size_t consumer, uint64_t position)
{
	move_consumer(ring, consumer, position);
}

void ring_detach(struct ring *ring, size_t consumer)
{
	move_consumer(ring, consumer, DETACHED);
}

void ring_set_waker(struct ring *ring, void (*wake)(void *arg), void *arg)
{
	ring->wake = wake;
	ring->wake_arg = arg;
}

void ring_arm_waker(struct ring *ring, uint64_t have, uint64_t want)
{
	atomic_store(&ring->waker_have, have);
	atomic_store(&ring->waker_want, want);
	/* After arming, so that a move before it is not missed. */
	if (enough(ring, have, want) || atomic_load(&ring->stopped))
		call_waker(ring);
}

void ring_stop(struct ring *ring)
{
	pthread_mutex_lock(&ring->lock);
	atomic_store(&ring->stopped, true);
	pthread_cond_broadcast(&ring->data);
	pthread_cond_broadcast(&ring->room);
	pthread_mutex_unlock(&ring->lock);
	call_waker(ring);
}

bool ring_stopped(const struct ring *ring)
{
	return atomic_load(&ring->stopped);
}

uint64_t ring_room_wait_ns(struct ring *ring)
{
	uint64_t ns;

	pthread_mutex_lock(&ring->lock);
	ns = ring->room_wait_ns;
	if (ring->room_wait_began_ns)
		ns += clock_now_ns() - ring->room_wait_began_ns;
	pthread_mutex_unlock(&ring->lock);
	return ns;
}

void ring_counters(struct ring *ring, struct ring_counters *out)
{
	*out = (struct ring_counters){
		.room_wait_ns = ring_room_wait_ns(ring),
		.data_wait_ns = atomic_load(&ring->data_wait_ns),
		.huge_pages = ring->mirror.huge_pages,
	};
}
