/* SPDX-License-Identifier: MIT */
/* pipeline/ring.h - the memory between a producer and everything that consumes its bytes.
 *
 * Positions: bytes since the start, 64 bit, only grow. Byte p lies at ring_at(ring, p); a span up
 *            to ring_size() is contiguous from there (the memory is mapped twice, back to back).
 *            tail <= decoded <= tail + size; [tail, decoded) is readable; tail is the slowest
 *            consumer's cursor. The producer may write [decoded, tail + size).
 * Threads:   one producer, a stage: one of its threads at a time may wait for room, and one, also
 *            another, may publish; a consumer index belongs to one thread at a time; ring_stop()
 *            from any.
 * Ownership: the ring owns the memory; a consumer may use a byte until its own cursor passed it,
 *            the kernel too (writes in flight hold the cursor back).
 * Waiting:   a consumer that wants many bytes is woken for fewer when the producer waits for room,
 *            so neither can wait for what only the other can release.
 * Ends:      ring_finish(): no more bytes come. ring_stop(): every wait returns false at once.
 * Lifetime:  ring_free() after all threads were joined and no request is in flight. */
#ifndef PIPELINE_RING_H
#define PIPELINE_RING_H

#include "base/error.h"
#include "base/log.h"

#include <stddef.h>

#define RING_ALIGN_BYTES (2u * 1024u * 1024u) /* sizes are multiples: one huge page */

enum ring_mapping {
	RING_DOUBLE,
	RING_SINGLE, /* tests under ThreadSanitizer: spans end at the ring's end */
};

struct ring;

/* size: a multiple of RING_ALIGN_BYTES for RING_DOUBLE. NULL on failure. */
struct ring *ring_new(size_t size, size_t consumers, enum ring_mapping mapping,
		      const struct bmap_log *log, struct bmap_error *err);
void ring_free(struct ring *ring); /* accepts NULL */

size_t ring_size(const struct ring *ring);
uint8_t *ring_base(const struct ring *ring); /* ring_size() bytes from here are what to register */
uint8_t *ring_at(const struct ring *ring, uint64_t position);

/* --- producer --- */
/* Waits until [.., end) may be written, that is tail + size >= end. False once stopped. */
bool ring_wait_room(struct ring *ring, uint64_t end);
/* End of what may be written now, without waiting. */
uint64_t ring_room_end(const struct ring *ring);
/* Bytes below position can be read; it only grows. */
void ring_publish(struct ring *ring, uint64_t position);
/* After the last publish: no byte follows. */
void ring_finish(struct ring *ring);

/* --- consumers --- */
/* Waits until decoded >= want, or the ring is finished, or the producer waits for room and there is
 * more than `have`. *decoded is what can be read; *finished: nothing follows. False once stopped.
 */
bool ring_wait_decoded(struct ring *ring, uint64_t have, uint64_t want, uint64_t *decoded,
		       bool *finished);
/* The same facts without waiting. */
uint64_t ring_decoded(const struct ring *ring, bool *finished);
/* Consumer i needs nothing below position any more; it only grows. */
void ring_release(struct ring *ring, size_t consumer, uint64_t position);
/* It needs nothing at all any more: leaves the computation of the tail. */
void ring_detach(struct ring *ring, size_t consumer);
/* For a consumer that sleeps elsewhere (the write loop): wake(arg) is called, from the producer's
 * thread, when decoded >= want, or the producer waits for room, or the ring was finished or
 * stopped; once for each arming. If that is so already it is called before this returns. One such
 * sleeper per ring. */
void ring_set_waker(struct ring *ring, void (*wake)(void *arg), void *arg); /* before arming */
void ring_arm_waker(struct ring *ring, uint64_t have, uint64_t want);

/* --- any thread --- */
void ring_stop(struct ring *ring);
bool ring_stopped(const struct ring *ring);

struct ring_counters {
	uint64_t room_wait_ns; /* the producer waited for room */
	uint64_t data_wait_ns; /* consumers waited for data, summed */
	bool huge_pages; /* the memory lies in huge pages */
};
void ring_counters(struct ring *ring, struct ring_counters *out);
/* The first of them, a wait that lasts included; never falls. */
uint64_t ring_room_wait_ns(struct ring *ring);
/* The slowest consumer's position. */
uint64_t ring_tail(const struct ring *ring);

#endif
