/* SPDX-License-Identifier: MIT */
/* pipeline/write_lane_internal.h - what the files of the write stage share.
 *
 * write_stage.c   the thread: asks the ring, steps the lanes, reaps, judges who stalls
 * write_lane.c    a target's life: the state machine, errors, completions
 * write_feed.c    pieces become requests: merging, splitting, the window
 * write_edges.c   sectors that are mapped in part: gather, read, patch, write
 * write_head.c    the head's mapped bytes, copied out of the ring for all lanes
 * write_back.c    the talk with who reads the target back
 * write_window.c  how much may be in flight
 * write_straggler.c  which target holds the others back
 *
 * Threads: everything belongs to the stage's thread, except what is marked "lock"
 * (write_stage.lock) or "constant" (before the thread starts). */
#ifndef PIPELINE_WRITE_LANE_INTERNAL_H
#define PIPELINE_WRITE_LANE_INTERNAL_H

#include "pipeline/walk.h"
#include "pipeline/write_stage.h"
#include "pipeline/write_straggler.h"
#include "pipeline/write_window.h"

#include <pthread.h>
#include <stdatomic.h>

/* Legal transitions, in order; any of them may be left out where there is nothing to do:
 *
 *   WAIT > ZERO > ZERO_FLUSH > BODY > VERDICT > FLUSH > READ_BACK >
 *   HEAD > HEAD_FLUSH > FIRST > FIRST_FLUSH > HEAD_BACK
 *   and from the last needed one: > FINAL (DONE)
 *   from any but FINAL, on an error or a bad verdict; on a stop only before the last request began:
 *   > DRAIN > REZERO > REZERO_FLUSH > FINAL (FAILED, INTERRUPTED)
 *   from any up to BODY, when the others wait for it: > DRAIN > FINAL (DETACHED)
 *   from any but FINAL, when given up: > FINAL (FAILED, abandoned) */
enum lane_state {
	LANE_WAIT, /* for the first decoded byte */
	LANE_ZERO, /* the head's place is overwritten with zeros */
	LANE_ZERO_FLUSH,
	LANE_BODY, /* all mapped bytes but a withheld head */
	LANE_VERDICT, /* waits for write_stage_commit() */
	LANE_FLUSH,
	LANE_READ_BACK, /* waits for write_stage_read_back() */
	LANE_HEAD, /* the withheld head but its commit block */
	LANE_HEAD_FLUSH,
	LANE_FIRST, /* the commit block: a stop is ignored from here on */
	LANE_FIRST_FLUSH,
	LANE_HEAD_BACK, /* as READ_BACK, of the head */
	/* Failed, stopped or detached: only completions are waited for, and who reads back. */
	LANE_DRAIN,
	LANE_REZERO, /* best effort: of a head that was partly written */
	LANE_REZERO_FLUSH,
	LANE_FINAL,
};

enum request_kind {
	REQUEST_RING, /* from ring memory: holds the ring back */
	REQUEST_BUFFER, /* from the head's buffer or zeros */
	REQUEST_EDGE, /* read or write of an edge's own memory */
	REQUEST_FLUSH,
};

struct lane;
struct edge;

struct write_request {
	struct io_request io;
	struct lane *lane;
	enum request_kind kind;
	bool in_flight;
	bool direct_refused; /* EINVAL once, queued again without O_DIRECT */
	struct edge *edge; /* EDGE */
	uint64_t position; /* RING: first byte */
	uint64_t mapped_bytes; /* completed when it is */
	unsigned tags;
	uint64_t queued_ns;
	struct write_request *next_free;
};

/* --- sectors that are mapped in part --- */

#define EDGE_COUNT 32u /* sectors in flight a lane: read and write each take a trip */

enum edge_state {
	EDGE_FREE,
	EDGE_OPEN, /* being gathered: the last one the feed touched */
	EDGE_READ, /* closed; to be read, unless gathered whole */
	EDGE_READING,
	EDGE_WRITE, /* to be written */
	EDGE_WRITING,
	EDGE_TAIL, /* crosses a regular file's end: buffered, after all other writes */
};

struct edge {
	enum edge_state state;
	uint64_t sector_offset;
	size_t gathered; /* bytes of it that are mapped */
	size_t tail_done; /* TAIL: bytes below were written or are not mapped */
	uint64_t mapped_bytes; /* gathered bytes that count as progress */
	uint8_t *data; /* the mapped bytes */
	uint8_t *mapped; /* a byte each: 1 where data is valid */
	uint8_t *disk; /* what was read: private, the kernel writes there */
};

struct edges {
	uint8_t *memory; /* NULL until first used */
	struct edge edge[EDGE_COUNT];
	struct edge *open;
	unsigned used;
};

/* --- a lane --- */

enum feed_kind {
	FEED_RING,
	FEED_ZEROS,
	FEED_HEAD, /* from the head's buffer */
};

/* Bytes contiguous in memory and in the image that are not yet submitted. */
struct run {
	uint64_t position; /* in the ring; in the head's buffer and in zeros: the image offset */
	uint64_t image_offset;
	uint64_t len_bytes;
	bool closed; /* what follows does not touch */
};

/* With who reads the target back. */
struct read_back_talk {
	enum read_back_step asked;
	bool answered;
	struct bmap_error answer;
	uint64_t bytes;
	uint64_t beats; /* grows with every sign of life */
};

struct lane {
	struct write_stage *stage;
	struct target *target;
	size_t consumer;
	enum lane_state state;
	bool withheld; /* the head comes last */
	uint64_t commit_begin, commit_end; /* the head's commit block, in image bytes */

	struct walk walk;
	bool saw_first; /* a wanted byte was decoded */
	bool left_ring;
	uint64_t released; /* the ring was told that nothing below is needed */

	enum feed_kind feed;
	uint64_t feed_next, feed_end; /* not RING: image offsets still to feed */
	size_t feed_range;
	struct run run;
	bool ended; /* no piece will come */
	bool aborted; /* by an error or a stop: nothing more is submitted for this feed */
	bool blocked; /* by window, engine or edges: completions go on with it, not the ring */
	struct edges edges;

	struct window window;
	struct write_request *requests; /* request_count */
	size_t request_count;
	struct write_request *free_request;
	unsigned in_flight;
	size_t in_flight_bytes;
	unsigned in_flight_tags;

	bool flush_begun, flush_done;
	bool reads_back; /* constant */
	bool reading; /* asked, and not answered yet */
	struct bmap_error read_back_answer; /* code NONE: good */
	uint64_t beats_heard;
	uint64_t reading_since_ns, read_back_ns;
	/* Last completion, or when the first request went out after none; or a sign of life of who
	 * reads back. */
	uint64_t progress_ns;
	bool stall_said;

	bool head_dirty; /* a byte of the real head may be on the device */
	bool head_zeroed; /* zeros are, flushed, and nothing of the real one */
	bool failing; /* result and error stand; but DETACHED yields to what is worse */
	bool abandoned; /* given up with requests in flight, or while it was read back */
	enum bmap_target_state result;
	struct bmap_error error;
	uint64_t completed_bytes;
	uint64_t flush_ns;
	uint64_t busy_ns, busy_since_ns; /* since: with requests in flight */
	uint64_t retries;
	/* As they were when the watch's span began; holding_ns: since then. */
	uint64_t span_busy_ns, span_holding_ns, span_completed_bytes;

	struct lane_status shown; /* lock */
	struct read_back_talk talk; /* lock */
};

/* The head's mapped bytes, collected once for all lanes. */
struct head {
	size_t consumer;
	size_t end_range; /* ranges below begin in the head */
	bool wanted; /* a lane withholds it and it has mapped bytes */
	bool collected; /* all there are */
	uint64_t end_bytes; /* no mapped byte of the head lies behind; final once collected */
	uint64_t copied_end; /* image offset behind the last collected byte */
	struct walk walk;
	uint8_t *bytes; /* HEAD_BYTES */
	uint8_t *zeros; /* HEAD_BYTES that nobody writes: the kernel's zero page, no memory */
};

/* Over a span of time, who holds the others: write_straggler.c. */
struct straggler_watch {
	struct straggler_share *shares; /* NULL: nobody is ever detached */
	uint64_t look_ns; /* so often */
	uint64_t looked_ns, accounted_ns; /* when last */
	uint64_t room_wait_ns; /* of the ring, when last accounted */
	uint64_t span_begin_ns;
	uint64_t span_room_wait_ns; /* of that, where a lane was the slowest consumer */
};

struct write_stage {
	struct write_stage_config config; /* constant */
	struct head head;
	struct straggler_watch watch;
	struct lane *lanes; /* config.target_count */

	/* This turn's facts: */
	uint64_t decoded;
	bool finished; /* nothing follows decoded */
	bool pressed; /* the producer waits for room that a lane may hold */
	bool committed, stopped;
	struct bmap_error why_seen; /* with stopped */
	uint64_t now_ns;
	uint64_t armed_want;

	uint64_t edge_writes;

	struct io_engine *engine; /* also: lock, to wake it from elsewhere */
	atomic_bool ring_woke; /* the ring's waker sets, the stage's thread takes */
	pthread_t thread;
	bool joined; /* the joining thread only */
	pthread_mutex_t lock; /* all below */
	pthread_cond_t started_cond;
	pthread_cond_t read_back_cond; /* a lane asks, or is final */
	bool started;
	struct bmap_error start_error; /* code NONE: the engine is open */
	bool commit_asked, stop_asked;
	struct bmap_error why;
	bool ended;
	struct write_stage_counters counters;
	bool leaked; /* lanes were abandoned: nothing that is still in use is freed */
};

/* write_head.c */
bool head_init(struct write_stage *stage, struct bmap_error *err);
void head_free(struct head *head);
void head_collect(struct write_stage *stage);
void head_leave(struct write_stage *stage); /* needs the ring no more, collected or not */
/* Is the ring to wake the stage for the collector? */
bool head_wants(const struct write_stage *stage, uint64_t *have, uint64_t *want);
/* The image offset range of the lane's commit block: the first block of the head with mapped
 * bytes, 4 KiB or a logical block. */
void head_commit_block(const struct image_plan *plan, size_t align_bytes, uint64_t *begin,
		       uint64_t *end);

/* write_lane.c */
bool lane_init(struct lane *lane, struct write_stage *stage, size_t index, struct bmap_error *err);
void lane_free(struct lane *lane);
unsigned lane_depth(const struct write_stage_config *config, size_t index);
void lane_step(struct lane *lane);
void lane_completed(struct lane *lane, struct write_request *req);
void lane_publish(struct lane *lane);
void lane_fail(struct lane *lane, const struct bmap_error *err);
void lane_fail_at(struct lane *lane, int errnum, const char *what, uint64_t len_bytes,
		  uint64_t offset_bytes);
/* Final at once, whatever is in flight. why is used if no error stands yet. */
void lane_give_up(struct lane *lane, const struct bmap_error *why);
/* Leaves the ring at once, whatever is in flight: what that still reads is written again in another
 * pass, before the head. Final (DETACHED) when it is drained. */
void lane_detach(struct lane *lane);
bool lane_wants(const struct lane *lane, uint64_t *have, uint64_t *want);

/* write_back.c */
/* Asks for a verdict. */
void back_begin(struct lane *lane, enum read_back_step step);
/* Takes what was said since: signs of life, and the verdict, which ends lane->reading. */
void back_hear(struct lane *lane);

/* write_feed.c */
void feed_begin(struct lane *lane, enum feed_kind kind, uint64_t begin, uint64_t end);
/* Submits what may be submitted; true when all was fed and has completed. */
bool feed_step(struct lane *lane);
/* Walks to the first piece that the lane must keep in the ring, and releases what lies before. */
void feed_skip(struct lane *lane);
void feed_release(struct lane *lane);
const uint8_t *feed_memory(const struct lane *lane, uint64_t position);
/* Bytes from position on that are contiguous in memory, and in a registered buffer. */
uint64_t feed_contiguous(const struct lane *lane, uint64_t position);
/* Bytes of the request that a lane waits for before it submits less. */
uint64_t feed_full_request(const struct lane *lane);
/* A free request if the window has room for it, else NULL and lane->blocked. */
struct write_request *feed_request(struct lane *lane, size_t len);
/* Hands it to the engine; false (and it is free again) if the engine is full. */
bool feed_submit(struct lane *lane, struct write_request *req);
void feed_request_free(struct lane *lane, struct write_request *req);

/* write_straggler.c */
bool straggler_init(struct write_stage *stage, struct bmap_error *err);
void straggler_free(struct write_stage *stage);
/* After the stage slept, before it takes what has completed: looks from time to time, and detaches
 * whoever is too slow. */
void straggler_step(struct write_stage *stage);
uint64_t straggler_next_look_ns(const struct write_stage *stage); /* UINT64_MAX: none */

/* write_edges.c */
/* Adds len bytes, inside one sector; false if all bounce sectors are in use: blocked. */
bool edges_gather(struct lane *lane, uint64_t image_offset, const uint8_t *bytes, size_t len);
/* Nothing below image_offset will be gathered any more. */
void edges_pass(struct lane *lane, uint64_t image_offset);
/* Submits what can go. */
void edges_step(struct lane *lane);
static inline bool edges_idle(const struct edges *edges)
{
	return edges->used == 0;
}
/* A request of an edge ended well. */
void edges_completed(struct lane *lane, struct write_request *req);
void edges_reset(struct lane *lane); /* nothing of them in flight */
void edges_free(struct edges *edges);

#endif
