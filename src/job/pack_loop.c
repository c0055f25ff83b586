/* SPDX-License-Identifier: MIT */
#include "job/pack_loop.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/threads.h"
#include "base/units.h"
#include "encode/zstd_frames.h"
#include "job/pack_output.h"
#include "job/pack_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_WORKERS 256u
#define PROGRESS_MS 200u

/* Where an item waits for its turn to be written. */
struct slot {
	struct pack_item item;
	uint8_t *frame; /* room for the bound of the longest */
	size_t frame_len; /* 0: the item is only a hole */
	uint64_t mapped_bytes;
	bool packed; /* run's lock */
};

struct worker {
	struct pack_run *run;
	pthread_t thread;
	struct zstd_packer *packer;
	uint8_t *data; /* a frame's image bytes */
};

struct pack_run {
	const struct pack_loop *loop; /* constant, as are the arrays and their lengths */
	size_t frame_bytes; /* of the longest frame's image bytes */
	unsigned workers, slot_count;
	struct worker *worker;
	/* Item i is in slot i % slot_count: its worker's until it is packed, then the writer's
	 * until `written` has passed it. */
	struct slot *slots;

	pthread_mutex_t lock; /* all below */
	pthread_cond_t room, moved; /* a slot became free; an item was packed, or a worker ended */
	struct pack_plan plan;
	struct pack_plan ahead; /* as many items further as there are workers */
	uint64_t claimed, written; /* items */
	unsigned working;
	bool ending; /* nothing more is claimed */
	struct bmap_error error; /* the first one */
};

static bool run_init(struct pack_run *run, struct bmap_error *err);
static bool choose_workers(struct pack_run *run, struct bmap_error *err);
static bool run_workers(struct pack_run *run, struct pack_output *output, struct bmap_error *err);
static void run_end(struct pack_run *run);
static void *worker_main(void *arg);
static bool write_items(struct pack_run *run, struct pack_output *output, struct bmap_error *err);

bool pack_loop_run(const struct pack_loop *loop, struct bmap_pack_result *result,
		   struct bmap_error *err)
{
	struct pack_run run = { .loop = loop };
	struct pack_output output = { 0 };
	bool good = run_init(&run, err) && pack_output_init(&output, loop->out, loop->log, err) &&
		    run_workers(&run, &output, err) && pack_output_finish(&output, err);

	if (good)
		*result = (struct bmap_pack_result){
			.image_bytes = loop->map->image_size_bytes,
			.mapped_bytes = bmap_mapped_bytes(loop->map),
			.packed_bytes = output.packed_bytes,
			.frames = output.frames,
			.hole_frames = output.hole_frames,
		};
	pack_output_end(&output);
	run_end(&run);
	return good;
}

/* ---- set up ---- */

static bool run_init(struct pack_run *run, struct bmap_error *err)
{
	const struct pack_loop *loop = run->loop;
	pthread_condattr_t monotonic;
	struct pack_item item;

	pthread_mutex_init(&run->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&run->room, &monotonic);
	pthread_cond_init(&run->moved, &monotonic);
	pthread_condattr_destroy(&monotonic);
	run->frame_bytes = (size_t)min_u64(PACK_FRAME_BYTES, loop->map->image_size_bytes);
	if (!choose_workers(run, err))
		return false;
	for (unsigned i = 0; i < run->slot_count; i++) {
		run->slots[i].frame = malloc(zstd_packer_bound(run->frame_bytes));
		if (!run->slots[i].frame)
			return bmap_error_memory(err, loop->name);
	}
	pack_plan_init(&run->plan, loop->map);
	pack_plan_init(&run->ahead, loop->map);
	for (unsigned i = 0; i < run->workers && pack_plan_next(&run->ahead, &item); i++)
		;
	return true;
}

static void run_end(struct pack_run *run)
{
	for (unsigned i = 0; i < run->workers && run->worker; i++) {
		zstd_packer_free(run->worker[i].packer);
		free(run->worker[i].data);
	}
	for (unsigned i = 0; i < run->slot_count && run->slots; i++)
		free(run->slots[i].frame);
	free(run->worker);
	free(run->slots);
	pthread_cond_destroy(&run->moved);
	pthread_cond_destroy(&run->room);
	pthread_mutex_destroy(&run->lock);
}

static bool worker_init(struct pack_run *run, struct worker *worker, struct bmap_error *err)
{
	worker->run = run;
	worker->packer = zstd_packer_new(run->loop->level, err);
	worker->data = calloc(1, run->frame_bytes);
	return worker->packer && (worker->data || bmap_error_memory(err, run->loop->name));
}

/* What zstd allocates depends on its version, the level and the length: the first worker's packer
 * packs a frame of zeros, and is asked. */
static bool measure_packer(struct worker *worker, size_t *bytes, struct bmap_error *err)
{
	size_t len = worker->run->frame_bytes, room = zstd_packer_bound(len), frame_len;
	uint8_t *frame = malloc(room);
	bool good = frame || bmap_error_memory(err, worker->run->loop->name);

	good = good &&
	       zstd_packer_pack(worker->packer, worker->data, len, frame, room, &frame_len, err);
	*bytes = zstd_packer_memory_bytes(worker->packer);
	free(frame);
	return good;
}

/* Two places a worker: what is packed may wait for an older one. Allocates and makes all workers.
 */
static bool choose_workers(struct pack_run *run, struct bmap_error *err)
{
	const struct pack_loop *loop = run->loop;
	uint64_t frames = div_round_up(loop->map->image_size_bytes, PACK_FRAME_BYTES), each;
	unsigned wanted = (unsigned)min_u64(min_u64(loop->workers, MAX_WORKERS), frames);
	size_t packer_bytes;

	run->worker = calloc(wanted, sizeof(*run->worker));
	run->slots = calloc(2 * (size_t)wanted, sizeof(*run->slots));
	if (!run->worker || !run->slots)
		return bmap_error_memory(err, loop->name);
	run->workers = 1;
	if (!worker_init(run, &run->worker[0], err) ||
	    !measure_packer(&run->worker[0], &packer_bytes, err))
		return false;
	each = run->frame_bytes + 2 * zstd_packer_bound(run->frame_bytes) + packer_bytes;
	if (each > loop->memory_bytes)
		return bmap_error_set(err, BMAP_ERR_MEMORY,
				      "%s: packing with level %u needs %" PRIu64
				      " MiB for one worker: raise the limit with --memory %" PRIu64
				      "M, or take a lower level",
				      loop->name, loop->level, div_round_up(each, MIB),
				      div_round_up(each, MIB));
	if (wanted > loop->memory_bytes / each) {
		char size[SIZE_TEXT_BYTES];

		log_info(loop->log,
			 "%s: %" PRIu64 " instead of %u workers: the memory limit holds no more of "
			 "%s each",
			 loop->name, loop->memory_bytes / each, wanted, size_text(each, size));
		wanted = (unsigned)(loop->memory_bytes / each);
	}
	while (run->workers < wanted)
		if (!worker_init(run, &run->worker[run->workers++], err))
			return false;
	run->slot_count = 2 * run->workers;
	return true;
}

/* ---- a worker ---- */

static void run_fail(struct pack_run *run, const struct bmap_error *err)
{
	pthread_mutex_lock(&run->lock);
	if (run->error.code == BMAP_ERR_NONE)
		run->error = *err;
	run->ending = true;
	pthread_cond_broadcast(&run->room);
	pthread_cond_broadcast(&run->moved);
	pthread_mutex_unlock(&run->lock);
}

/* Holes are never asked for: that would fill the cache with their zeros. */
static void read_ahead(const struct pack_run *run, const struct pack_item *item)
{
	if (item->end > item->begin)
		posix_fadvise(run->loop->fd, (off_t)item->begin, (off_t)(item->end - item->begin),
			      POSIX_FADV_WILLNEED);
}

/* NULL: nothing is left, or the run ends. */
static struct slot *claim(struct pack_run *run)
{
	struct pack_item ahead = { 0 };
	struct slot *slot = NULL;

	pthread_mutex_lock(&run->lock);
	while (!run->ending && run->claimed - run->written == run->slot_count)
		pthread_cond_wait(&run->room, &run->lock);
	if (!run->ending) {
		slot = &run->slots[run->claimed % run->slot_count];
		if (pack_plan_next(&run->plan, &slot->item)) {
			run->claimed++;
			slot->packed = false;
			pack_plan_next(&run->ahead, &ahead);
		} else {
			slot = NULL;
		}
	}
	pthread_mutex_unlock(&run->lock);
	read_ahead(run, &ahead);
	return slot;
}

static bool read_fully(const struct pack_loop *loop, uint8_t *to, uint64_t offset, uint64_t len,
		       struct bmap_error *err)
{
	while (len) {
		ssize_t n = pread(loop->fd, to, (size_t)len, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bmap_error_errno(err, "%s: cannot read at offset %" PRIu64,
						loop->name, offset);
		if (n == 0)
			return bmap_error_data(err, offset,
					       "%s: ends at offset %" PRIu64
					       ": it was made shorter while it was packed",
					       loop->name, offset);
		to += n;
		offset += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return true;
}

/* The item's image bytes: zeros where the map has nothing, whatever the file holds there. */
static bool read_item(const struct pack_loop *loop, struct slot *slot, uint8_t *data,
		      struct bmap_error *err)
{
	const struct pack_item *item = &slot->item;
	const struct bmap_map *map = loop->map;
	uint64_t at = item->begin;

	slot->mapped_bytes = 0;
	for (size_t i = item->range; i < map->range_count && at < item->end; i++) {
		uint64_t begin = min_u64(max_u64(bmap_range_begin(map, i), at), item->end);
		uint64_t end = min_u64(bmap_range_end(map, i), item->end);

		memset(data + (at - item->begin), 0, (size_t)(begin - at));
		if (!read_fully(loop, data + (begin - item->begin), begin, end - begin, err))
			return false;
		slot->mapped_bytes += end - begin;
		at = end;
	}
	memset(data + (at - item->begin), 0, (size_t)(item->end - at));
	return true;
}

static bool pack_item(struct worker *worker, struct slot *slot, struct bmap_error *err)
{
	const struct pack_run *run = worker->run;
	size_t len = (size_t)(slot->item.end - slot->item.begin);

	slot->frame_len = 0;
	slot->mapped_bytes = 0;
	return !len ||
	       (read_item(run->loop, slot, worker->data, err) &&
		zstd_packer_pack(worker->packer, worker->data, len, slot->frame,
				 zstd_packer_bound(run->frame_bytes), &slot->frame_len, err));
}

/* Waits for a free place. Ends with the plan, on failure, or when the run ends. */
static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct pack_run *run = worker->run;
	struct bmap_error err;
	struct slot *slot;

	while ((slot = claim(run)) != NULL) {
		if (!pack_item(worker, slot, &err)) {
			run_fail(run, &err);
			break;
		}
		pthread_mutex_lock(&run->lock);
		slot->packed = true;
		pthread_cond_signal(&run->moved);
		pthread_mutex_unlock(&run->lock);
	}
	pthread_mutex_lock(&run->lock);
	run->working--;
	pthread_cond_signal(&run->moved);
	pthread_mutex_unlock(&run->lock);
	return NULL;
}

/* ---- the calling thread ---- */

static bool run_workers(struct pack_run *run, struct pack_output *output, struct bmap_error *err)
{
	unsigned started = 0;
	bool good = true;

	run->working = run->workers;
	while (good && started < run->workers) {
		struct worker *worker = &run->worker[started];

		good = thread_start(&worker->thread, "pack", worker_main, worker, err);
		started += good;
	}
	good = good && write_items(run, output, err);
	if (!good)
		run_fail(run, err);
	for (unsigned i = 0; i < started; i++)
		pthread_join(run->worker[i].thread, NULL);
	return good;
}

/* Waits for the next item in order, at most until the next report of progress. *slot is NULL
 * where there is none yet. False: none will come. */
static bool next_packed(struct pack_run *run, struct slot **slot)
{
	uint64_t until = clock_now_ns() + PROGRESS_MS * NS_PER_MS;
	struct timespec t = { .tv_sec = (time_t)(until / NS_PER_S),
			      .tv_nsec = (long)(until % NS_PER_S) };
	struct slot *next = &run->slots[run->written % run->slot_count];
	bool there = false, more;
	int rc = 0;

	pthread_mutex_lock(&run->lock);
	for (;;) {
		there = run->written < run->claimed && next->packed;
		more = there || run->working;
		if (run->error.code != BMAP_ERR_NONE)
			there = more = false;
		if (there || !more || rc)
			break;
		rc = pthread_cond_timedwait(&run->moved, &run->lock, &t);
	}
	pthread_mutex_unlock(&run->lock);
	*slot = there ? next : NULL;
	return more;
}

static void pass_slot(struct pack_run *run)
{
	pthread_mutex_lock(&run->lock);
	run->written++;
	pthread_cond_signal(&run->room);
	pthread_mutex_unlock(&run->lock);
}

static bool write_item(struct pack_output *output, const struct slot *slot, struct bmap_error *err)
{
	const struct pack_item *item = &slot->item;

	return pack_output_hole(output, item->begin - item->hole_begin, err) &&
	       (!slot->frame_len || pack_output_frame(output, slot->frame, slot->frame_len,
						      (size_t)(item->end - item->begin), err));
}

static bool write_items(struct pack_run *run, struct pack_output *output, struct bmap_error *err)
{
	const struct pack_loop *loop = run->loop;
	uint64_t done = 0, total = bmap_mapped_bytes(loop->map), told_ns = 0;
	struct slot *slot;

	while (next_packed(run, &slot)) {
		if (bmap_stop_requested(loop->stop))
			return bmap_error_set(err, BMAP_ERR_INTERRUPTED,
					      "%s: interrupted after %" PRIu64 " of %" PRIu64
					      " mapped bytes",
					      loop->name, done, total);
		if (slot) {
			if (!write_item(output, slot, err))
				return false;
			done += slot->mapped_bytes;
			pass_slot(run);
		}
		if (loop->progress && clock_now_ns() - told_ns >= PROGRESS_MS * NS_PER_MS) {
			told_ns = clock_now_ns();
			loop->progress(loop->arg, done, total);
		}
	}
	if (run->error.code != BMAP_ERR_NONE) { /* no worker changes it any more */
		*err = run->error;
		return false;
	}
	if (loop->progress)
		loop->progress(loop->arg, done, total);
	return true;
}
