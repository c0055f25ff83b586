/* SPDX-License-Identifier: MIT */
/* Why it is fast: reads go on while the hash runs, also from one range to the next; where two
 * streams hashed together are faster than one after the other, a worker has two lanes; the buffers
 * are few, so that what is read from the page cache is still in the processor's cache when it is
 * hashed, and lie in huge pages, so that a direct read has few segments; workers share only a
 * lock a batch and a counter. */
#include "job/range_loop_internal.h"
#include "base/checked.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static struct slot *oldest(const struct lane *lane)
{
	return &lane->slots[lane->first];
}

static void queue_read(struct lane *lane, struct slot *slot)
{
	struct run *run = lane->worker->run;
	bool direct = atomic_load(&run->direct);
	uint64_t until = slot->read.end;

	slot->done = false;
	slot->from = slot->read.begin;
	if (direct) {
		slot->from = align_down(slot->from, READ_ALIGN_BYTES);
		until = align_up(until, READ_ALIGN_BYTES);
	}
	slot->req = (struct io_request){
		.op = IO_READ,
		.fd = direct ? run->direct_fd : run->loop->fd,
		.data = lane->buffers + (size_t)(slot - lane->slots) * run->read_bytes,
		.len_bytes = until - slot->from,
		.offset_bytes = slot->from,
		.owner = slot,
	};
	engine_queue(lane->worker->engine, &slot->req); /* depth is the number of slots */
}

/* Gives free slots to the next reads, unless the job is ending. */
static void queue_reads(struct lane *lane)
{
	struct run *run = lane->worker->run;

	while (lane->used < run->slots && !atomic_load(&run->ending)) {
		struct slot *slot = &lane->slots[(lane->first + lane->used) % run->slots];

		if (!read_cursor_next(&lane->cursor, &slot->read))
			return;
		slot->split_end = 0;
		queue_read(lane, slot);
		lane->used++;
	}
}

static void queue_all(struct worker *worker)
{
	struct run *run = worker->run;

	queue_reads(&worker->lanes[0]);
	if (!worker->began)
		atomic_fetch_add(&run->began, 1);
	worker->began = true;
	/* Two long ranges are faster on two processors than in two lanes of one. */
	for (unsigned i = 1; i < run->lanes && atomic_load(&run->began) >= run->workers; i++)
		queue_reads(&worker->lanes[i]);
}

/* A file system that refuses direct reads although it let the file be opened for them. */
static bool retry_buffered(struct worker *worker, struct slot *slot)
{
	struct run *run = worker->run;

	if (slot->req.result != -EINVAL || slot->req.fd == run->loop->fd)
		return false;
	if (atomic_exchange(&run->direct, false))
		log_info(run->loop->log,
			 "%s: read through the page cache: this file system refuses O_DIRECT",
			 run->loop->name);
	slot->req.fd = run->loop->fd;
	engine_queue(worker->engine, &slot->req);
	return true;
}

/* Submits what is queued and takes what is done; sleeps if nothing is, unless told otherwise. */
static bool reap(struct worker *worker, bool sleep)
{
	struct run *run = worker->run;
	struct io_request *done[MAX_READS];
	struct bmap_error err;
	int n = engine_wait(worker->engine, done, MAX_READS, sleep ? -1 : 0);

	if (n < 0) {
		bmap_error_errnum(&err, -n, "%s: the %s engine failed", run->loop->name,
				  worker->engine->ops->name);
		run_fail(run, &err);
		return false;
	}
	for (int i = 0; i < n; i++) {
		struct slot *slot = done[i]->owner;

		slot->done = !retry_buffered(worker, slot);
	}
	return true;
}

static bool check_read(const struct run *run, const struct slot *slot, struct bmap_error *err)
{
	const struct range_loop *loop = run->loop;
	ssize_t result = slot->req.result;

	if (result < 0) {
		bmap_error_errnum(err, (int)-result,
				  "%s: cannot read %" PRIu64 " bytes at offset %" PRIu64,
				  loop->name, slot->read.end - slot->read.begin, slot->read.begin);
		err->has_offset = true;
		err->offset_bytes = slot->read.begin;
		return false;
	}
	if ((uint64_t)result < slot->read.end - slot->from)
		return bmap_error_data(err, slot->from + (uint64_t)result,
				       "%s: ends at offset %" PRIu64 ", but was %" PRIu64
				       " bytes long: it was changed while it was read",
				       loop->name, slot->from + (uint64_t)result, loop->size_bytes);
	return true;
}

/* The buffer is the worker's own. */
static void lay_over(const struct range_loop *loop, const struct slot *slot)
{
	uint64_t begin = slot->read.begin, end = min_u64(slot->read.end, loop->overlay_bytes);

	if (loop->overlay && begin < end)
		memcpy(slot->req.data + (begin - slot->from), loop->overlay + begin, end - begin);
}

static void begin_range(struct lane *lane, size_t range, uint64_t at)
{
	const struct range_loop *loop = lane->worker->run->loop;

	lane->range = range;
	lane->at = at;
	if (at != bmap_range_begin(loop->map, range))
		return;
	if (loop->zero_run_bytes)
		zero_split_begin(&lane->split, at);
	else
		hasher_begin(lane->hasher);
}

static void release_slot(struct lane *lane)
{
	lane->hashing = false;
	lane->first = (lane->first + 1) % lane->worker->run->slots;
	lane->used--;
}

/* The oldest slot reads what it has to read of this range alone. */
static void read_alone(struct lane *lane, size_t range, uint64_t begin)
{
	struct slot *slot = oldest(lane);
	uint64_t end = bmap_range_end(lane->worker->run->loop->map, range);

	slot->read.first_range = range;
	slot->read.begin = begin;
	slot->read.end = min_u64(end, slot->split_end);
	lane->hashing = false;
	queue_read(lane, slot);
}

/* What cannot be read may lie between the ranges, where nobody needs it. */
static bool split_failed_read(struct lane *lane)
{
	struct slot *slot = oldest(lane);
	const struct range_read *read = &slot->read;
	uint64_t first_end = bmap_range_end(lane->worker->run->loop->map, read->first_range);

	if (slot->req.result >= 0 || slot->split_end || first_end >= read->end)
		return false;
	slot->split_end = read->end;
	read_alone(lane, read->first_range, read->begin);
	return true;
}

/* Looks at the oldest read, which is done, before it is hashed. */
static void begin_slot(struct lane *lane)
{
	struct run *run = lane->worker->run;
	const struct slot *slot = oldest(lane);
	struct bmap_error err;

	if (bmap_stop_requested(run->loop->stop)) {
		bmap_error_set(&err, BMAP_ERR_INTERRUPTED, "%s: stopped while it was read",
			       run->loop->name);
		run_fail(run, &err);
	} else if (split_failed_read(lane)) {
		return; /* it is in flight again */
	} else if (!check_read(run, slot, &err)) {
		run_fail(run, &err);
	} else {
		lane->hashing = true;
		lay_over(run->loop, slot);
		begin_range(lane, slot->read.first_range, slot->read.begin);
	}
}

/* Bytes from at on that are one range's and read, and of one kind, once look() was there. */
static size_t piece_len(const struct lane *lane)
{
	uint64_t end = bmap_range_end(lane->worker->run->loop->map, lane->range);

	if (lane->data_len)
		return lane->data_len;
	return min_u64(end, oldest(lane)->read.end) - lane->at;
}

static const uint8_t *piece_data(const struct lane *lane)
{
	const struct slot *slot = oldest(lane);

	return slot->req.data + (lane->at - slot->from);
}

static void end_range(struct lane *lane)
{
	const struct range_loop *loop = lane->worker->run->loop;
	uint8_t digest[BMAP_DIGEST_MAX_BYTES];

	if (loop->zero_run_bytes) {
		zero_split_end(&lane->split);
		return;
	}
	hasher_finish(lane->hasher, digest);
	loop->on_range(loop->arg, lane->range, digest);
}

/* After len bytes of the piece were hashed: ends the range, the slot, or both. */
static void move_on(struct lane *lane, size_t len)
{
	struct run *run = lane->worker->run;
	const struct range_loop *loop = run->loop;
	const struct slot *slot = oldest(lane);
	const struct range_read *read = &slot->read;
	size_t count = loop->map->range_count, next;
	uint64_t begin;

	lane->at += len;
	lane->data_len -= min_u64(len, lane->data_len);
	atomic_fetch_add(&run->done_bytes, len);
	if (lane->at < bmap_range_end(loop->map, lane->range)) {
		if (lane->at == read->end)
			release_slot(lane);
		return;
	}
	end_range(lane);
	next = read_share_find(&run->share, lane->range + 1, count, read->is_long);
	begin = next < count ? bmap_range_begin(loop->map, next) : UINT64_MAX;
	if (begin < read->end)
		begin_range(lane, next, begin);
	else if (begin < slot->split_end)
		read_alone(lane, next, begin);
	else
		release_slot(lane);
}

/* Passes the zeros that are left out, up to data that is to be hashed, or the slot's end. */
static void look(struct lane *lane)
{
	while (lane->hashing && lane->worker->run->loop->zero_run_bytes && !lane->data_len) {
		size_t len = piece_len(lane);
		bool is_data;

		len = zero_split_next(&lane->split, piece_data(lane), len, &is_data);
		if (is_data)
			lane->data_len = len;
		else
			move_on(lane, len);
	}
}

static void hash_piece(struct lane *lane, size_t len)
{
	if (!lane->worker->run->loop->no_digests)
		hasher_update(lane->hasher, piece_data(lane), len);
}

/* Hashes until a slot gets free. In each lane the oldest read is being hashed; or none is used. */
static void hash_lanes(struct lane *a, struct lane *b)
{
	look(a);
	look(b);
	if (!a->hashing) { /* the other one is, alone */
		struct lane *swap = a;

		a = b;
		b = swap;
	}
	while (a->hashing && b->hashing) {
		size_t len = min_u64(piece_len(a), piece_len(b));

		hasher_update_pair(a->hasher, piece_data(a), b->hasher, piece_data(b), len);
		move_on(a, len);
		move_on(b, len);
		look(a);
		look(b);
		if (!a->hashing || !b->hashing)
			return;
	}
	while (a->hashing) {
		size_t len = piece_len(a);

		hash_piece(a, len);
		move_on(a, len);
		look(a);
	}
}

static void split_init(struct lane *lane, const struct range_loop *loop)
{
	lane->split = (struct zero_split){
		.block_bytes = loop->map->block_size_bytes,
		.run_bytes = loop->zero_run_bytes,
		.hasher = loop->no_digests ? NULL : lane->hasher,
		.on_part = loop->on_part,
		.arg = loop->part_arg,
	};
}

/* Can the hash go on? In pairs if both lanes have anything: there is more to gain than by hashing
 * one alone while the other waits for its read. */
static bool is_ready(const struct worker *worker)
{
	unsigned ready = 0;

	for (unsigned i = 0; i < worker->run->lanes; i++) {
		if (worker->lanes[i].used && !oldest(&worker->lanes[i])->done)
			return false;
		ready += worker->lanes[i].used > 0;
	}
	return ready > 0;
}

static void hash_ready(struct worker *worker)
{
	struct run *run = worker->run;

	for (unsigned i = 0; i < run->lanes; i++) {
		struct lane *lane = &worker->lanes[i];

		if (lane->used && !lane->hashing && !atomic_load(&run->ending))
			begin_slot(lane);
	}
	if (!is_ready(worker)) /* a read was split */
		return;
	if (!atomic_load(&run->ending)) {
		hash_lanes(&worker->lanes[0], &worker->lanes[1]);
		return;
	}
	for (unsigned i = 0; i < run->lanes; i++) {
		if (worker->lanes[i].used)
			release_slot(&worker->lanes[i]);
	}
}

/* False only if requests are left in flight for ever. */
static bool worker_loop(struct worker *worker)
{
	for (;;) {
		queue_all(worker);
		if (!worker->lanes[0].used && !worker->lanes[1].used)
			return true;
		if (!reap(worker, !is_ready(worker)))
			return worker->engine->in_flight == 0;
		if (is_ready(worker))
			hash_ready(worker);
	}
}

static bool worker_open(struct worker *worker, struct bmap_error *err)
{
	struct run *run = worker->run;
	const struct range_loop *loop = run->loop;
	unsigned slots = run->lanes * run->slots;

	for (unsigned i = 0; i < run->lanes; i++) {
		worker->lanes[i].hasher = run->lanes > 1
						  ? hasher_new_pairing(loop->map->digest, err)
						  : hasher_new(loop->map->digest, err);
		if (!worker->lanes[i].hasher)
			return false;
		split_init(&worker->lanes[i], loop);
	}
	worker->engine =
		engine_make(loop->engines, slots, worker->log_fallback ? loop->log : NULL, err);
	if (!worker->engine)
		return false;
	if (!engine_register_buffer(worker->engine, worker->lanes[0].buffers,
				    slots * run->read_bytes))
		log_debug(loop->log, "%s: read buffers are not registered", loop->name);
	return true;
}

/* With the lock held. */
static void count_engine(struct run *run, const struct io_engine *engine)
{
	run->engine_name = engine->ops->name;
	run->counters.requests += engine->counters.requests;
	run->counters.fixed += engine->counters.fixed;
	run->counters.resubmitted += engine->counters.resubmitted;
}

/* Reads and hashes what it claims; waits for its own reads only, and ends when there is nothing
 * left to claim or any worker failed. */
void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct run *run = worker->run;
	struct bmap_error err;
	bool whole = true;

	if (bmap_stop_requested(run->loop->stop)) {
		bmap_error_set(&err, BMAP_ERR_INTERRUPTED, "%s: stopped before it was read",
			       run->loop->name);
		run_fail(run, &err);
	} else if (worker_open(worker, &err))
		whole = worker_loop(worker);
	else
		run_fail(run, &err);
	for (unsigned i = 0; i < run->lanes; i++)
		hasher_free(worker->lanes[i].hasher);
	pthread_mutex_lock(&run->lock);
	if (worker->engine)
		count_engine(run, worker->engine);
	pthread_mutex_unlock(&run->lock);
	if (whole)
		engine_free(worker->engine);
	pthread_mutex_lock(&run->lock);
	run->lost |= !whole;
	run->working--;
	pthread_cond_signal(&run->moved);
	pthread_mutex_unlock(&run->lock);
	return NULL;
}
