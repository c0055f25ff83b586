/* SPDX-License-Identifier: MIT */
/* pipeline/write_stage.h - writes the wanted bytes of the ring to every target: one thread that
 * owns the io engine; a lane (cursor, in-flight window, state) per target.
 *
 * A lane's life (write_lane.c has the legal transitions):
 *   waits for the first decoded byte; target_begin() was called by the job before that;
 *   withhold_head: zeroes the mapped bytes of the first HEAD_BYTES, flush;
 *   writes all mapped bytes but the head's, requests merged over touching ranges, split at the
 *   ring's end and at max_request_bytes; pieces of sectors gathered in a bounce sector and written
 *   by one read-patch-write;
 *   waits for write_stage_commit() (the source was read to its end and all checksums matched);
 *   flush; with read_back, waits for the verdict of who reads the target back;
 *   head but its first 4 KiB, flush; first 4 KiB, flush: the commit point;
 *   with read_back, waits for the verdict over the head; done. A head that is not what was written
 *   is zeroed again.
 * Only here is a target judged slow, stalled or given up, also while it is read back; short writes
 * and -EAGAIN are the engine's. A failed lane ends alone. Stop or failure before the commit point:
 * what is in flight is waited for, a head that was partly written is zeroed again.
 *
 * A lane that holds the others back may be detached from the ring: what is in flight is waited for,
 * then it is final, with its head zeroed and its target ready for another pass.
 *
 * Where the image's first 4 KiB are not mapped, the first mapped block of the head takes their
 * place as the commit block.
 *
 * Ring:      lane i is consumer first_consumer + i, the head's collector is consumer
 *            first_consumer + target_count (it copies the head's mapped bytes to a side buffer
 *            that all lanes share).
 * Threads:   started, asked and joined by the job's thread; status and read_back from any.
 * Files:     write_lane_internal.h says which does what. */
#ifndef PIPELINE_WRITE_STAGE_H
#define PIPELINE_WRITE_STAGE_H

#include "io/engine.h"
#include "pipeline/job_state.h"
#include "pipeline/plan.h"
#include "pipeline/ring.h"
#include "pipeline/segments.h"
#include "target/target.h"

#include <bmap/flash.h>

#define HEAD_BYTES (1024u * 1024u)

struct write_stage_config {
	struct ring *ring; /* its waker is the write stage's: set by write_stage_start() */
	size_t first_consumer; /* target_count + 1 consumers from here on */
	struct segments *segments;
	const struct image_plan *plan;
	struct target **targets; /* the array and what is in it: borrowed until joined */
	size_t target_count;
	struct job_state *job; /* its bell rings on every change of a lane's state */
	unsigned queue_depth; /* requests in flight a lane, 0: adaptive */
	unsigned stall_warn_seconds, stall_give_up_seconds; /* 0: 30 and a default */
	/* Somebody reads every target back but character devices: see below. */
	bool read_back;
	bool detach; /* who holds the others below half of their speed is left out: DETACHED */
	unsigned straggler_seconds; /* for so long, 0: 10 */
	const struct engine_factory *engine; /* may be NULL */
};

struct lane_status {
	enum bmap_target_state state;
	uint64_t completed_bytes; /* mapped bytes, the head's too once it is written */
	unsigned window; /* requests allowed in flight now */
	unsigned largest_window;
	uint64_t flush_ns;
	uint64_t busy_ns; /* with at least one request in flight */
	uint64_t retries; /* requests submitted again: short, or -EAGAIN */
	bool head_zeroed; /* the head's mapped bytes are zeros on the medium */
	bool abandoned; /* requests, or who reads it back, never ended: target_abandon() it */
	uint64_t read_back_bytes; /* as told by write_stage_read_back_progress() */
	uint64_t read_back_ns;
	struct bmap_error error;
};

struct write_stage;
struct write_stage *write_stage_start(const struct write_stage_config *config,
				      struct bmap_error *err);
/* The source and every checksum are good: lanes may finish. image_size is known now. Any thread. */
void write_stage_commit(struct write_stage *stage);
/* Ends all lanes that have not begun their last request: interrupted or failed as why says
 * (copied). Any thread, idempotent. */
void write_stage_stop(struct write_stage *stage, const struct bmap_error *why);
bool write_stage_ended(struct write_stage *stage); /* every lane is final: any thread */
void write_stage_status(struct write_stage *stage, size_t lane, struct lane_status *out);

/* --- reading back: one thread a lane, not the stage's --- */

enum read_back_step {
	READ_BACK_NOTHING, /* the lane is final */
	READ_BACK_BODY, /* all mapped bytes; on the device are zeros in place of a withheld head */
	READ_BACK_HEAD, /* the mapped bytes of the withheld head, now on the device */
};
/* Sleeps until the lane waits for a verdict. With BODY and HEAD, write_stage_read_back() must
 * follow, also after a stop: until then the lane is not final, as somebody uses its descriptor,
 * unless it is given up (status.abandoned). */
enum read_back_step write_stage_read_back_wait(struct write_stage *stage, size_t lane);
/* The withheld head: bytes at their image offsets, below *len_bytes, right where they are mapped.
 * NULL: nothing was withheld. For who was asked by write_stage_read_back_wait(); lent until
 * write_stage_free(). */
const uint8_t *write_stage_head(const struct write_stage *stage, size_t lane, uint64_t *len_bytes);
/* Says that it goes on, and how many bytes were read back in all. Who does not say so for
 * stall_give_up_seconds is given up. */
void write_stage_read_back_progress(struct write_stage *stage, size_t lane, uint64_t bytes);
/* The verdict: good with NULL; else the lane fails with bad (copied). Code INTERRUPTED is none: the
 * lane waits for write_stage_stop(), which must come. */
void write_stage_read_back(struct write_stage *stage, size_t lane, const struct bmap_error *bad);

struct write_stage_counters {
	struct io_counters io;
	const char *engine; /* "io_uring" */
	bool registered_buffer;
	uint64_t edge_writes; /* read-patch-writes of sectors */
};
void write_stage_counters(struct write_stage *stage, struct write_stage_counters *out); /* joined */
void write_stage_join(struct write_stage *stage); /* idempotent */
/* After join, and after the ring's producer was joined: the ring's waker is the stage's. Accepts
 * NULL. True if requests, or who reads back, never ended: they still use the ring's memory, which
 * the caller must not unmap, and the targets' descriptors: target_abandon(). */
bool write_stage_free(struct write_stage *stage);

#endif
