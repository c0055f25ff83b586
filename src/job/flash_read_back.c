/* SPDX-License-Identifier: MIT */
#include "job/flash_read_back.h"
#include "base/checked.h"
#include "base/threads.h"
#include "job/first_difference.h"
#include "job/read_back.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of several targets, each may cost about a MiB: buffers, stacks, an engine. */
#define BUFFERS_OF_SEVERAL_BYTES (512u * (uint64_t)KIB)
#define LEAST_BUFFERS_BYTES (128u * (uint64_t)KIB)
/* Of the job's memory, for all targets together. */
#define MEMORY_SHARE 16u
#define TURN_MS 50u

struct reader {
	struct flash_readers *readers;
	size_t lane;
	struct read_back back; /* target.name is its own */
	bool started;
	pthread_t thread;
};

struct flash_readers {
	struct write_stage *stage;
	const struct image_stream *stream;
	const struct bmap_log *log; /* NULL once left behind; under log_lock */
	pthread_mutex_t log_lock;
	struct bmap_log forward; /* to log: what the readers use */
	struct bmap_stop *stop;
	/* One reader at a time decodes the image once more: each time costs a stream's memory. */
	pthread_mutex_t search;
	size_t count;
	struct reader reader[];
};

static void *reader_run(void *arg);

static void forward_message(void *user, enum bmap_log_level level, const char *text)
{
	struct flash_readers *readers = user;

	pthread_mutex_lock(&readers->log_lock);
	if (readers->log)
		log_message(readers->log, level, "%s", text);
	pthread_mutex_unlock(&readers->log_lock);
}

static void on_progress(void *arg, uint64_t done_bytes)
{
	struct reader *reader = arg;

	write_stage_read_back_progress(reader->readers->stage, reader->lane, done_bytes);
}

static void choose_memory(struct read_back *back, size_t count, uint64_t memory_bytes)
{
	uint64_t share = memory_bytes / MEMORY_SHARE / count;

	back->workers = (unsigned)div_round_up(thread_cpu_count(), count);
	back->memory_bytes = count > 1 ? min_u64(share, BUFFERS_OF_SEVERAL_BYTES) : share;
	back->memory_bytes = max_u64(back->memory_bytes, LEAST_BUFFERS_BYTES);
}

static bool reader_init(struct flash_readers *readers, size_t i, const struct target *target,
			struct bmap_error *err)
{
	const struct image_stream *stream = readers->stream;
	struct reader *reader = &readers->reader[i];

	*reader = (struct reader){ .readers = readers, .lane = i };
	reader->back = (struct read_back){
		.target = *target,
		.plan = stream->plan,
		.checked = stream->verifies ? stream->map : NULL,
		.longest_bytes = SUM_LONG_RANGE_BYTES,
		.queue_depth = stream->options.queue_depth,
		.log = &readers->forward,
		.stop = readers->stop,
		.progress = on_progress,
		.arg = reader,
	};
	choose_memory(&reader->back, readers->count, stream->options.memory_bytes);
	reader->back.target.name = strdup(target->name);
	return reader->back.target.name || bmap_error_memory(err, target->name);
}

static void readers_free(struct flash_readers *readers)
{
	for (size_t i = 0; i < readers->count; i++)
		free(readers->reader[i].back.target.name);
	bmap_stop_free(readers->stop);
	pthread_mutex_destroy(&readers->search);
	pthread_mutex_destroy(&readers->log_lock);
	free(readers);
}

struct flash_readers *flash_readers_start(struct write_stage *stage, struct target **lanes,
					  size_t lane_count, const struct image_stream *stream,
					  struct bmap_error *err)
{
	struct flash_readers *readers =
		calloc(1, sizeof(*readers) + lane_count * sizeof(readers->reader[0]));
	bool good;

	if (!readers) {
		bmap_error_memory(err, "reading back");
		return NULL;
	}
	readers->stage = stage;
	readers->stream = stream;
	readers->log = stream->options.log;
	readers->forward = (struct bmap_log){ .message = forward_message, .user = readers };
	readers->count = lane_count;
	pthread_mutex_init(&readers->log_lock, NULL);
	pthread_mutex_init(&readers->search, NULL);
	readers->stop = bmap_stop_new(err);
	good = readers->stop;
	for (size_t i = 0; good && i < lane_count; i++)
		good = reader_init(readers, i, lanes[i], err);
	for (size_t i = 0; good && i < lane_count; i++) {
		struct reader *reader = &readers->reader[i];

		if (lanes[i]->kind == TARGET_CHARACTER_DEVICE)
			log_debug(readers->log, "%s: a character device: nothing is read back",
				  lanes[i]->name);
		good = reader->started =
			thread_start(&reader->thread, "read back", reader_run, reader, err);
	}
	if (good)
		return readers;
	/* Those that run have nothing to do once their lanes are final. */
	write_stage_stop(stage, err);
	write_stage_join(stage);
	flash_readers_end(readers);
	return NULL;
}

void flash_readers_stop(struct flash_readers *readers)
{
	if (readers)
		bmap_stop_request(readers->stop);
}

bool flash_readers_end(struct flash_readers *readers)
{
	bool left_behind = false;

	if (!readers)
		return false;
	for (size_t i = 0; i < readers->count; i++) {
		struct reader *reader = &readers->reader[i];
		struct lane_status status;

		if (!reader->started)
			continue;
		write_stage_status(readers->stage, i, &status);
		if (status.abandoned)
			pthread_detach(reader->thread);
		else
			pthread_join(reader->thread, NULL);
		left_behind |= status.abandoned;
	}
	if (!left_behind) {
		readers_free(readers);
		return false;
	}
	bmap_stop_request(readers->stop);
	pthread_mutex_lock(&readers->log_lock);
	readers->log = NULL;
	pthread_mutex_unlock(&readers->log_lock);
	return true;
}

/* --- a reader's thread --- */

static void beat(void *arg)
{
	struct reader *reader = arg;
	struct flash_readers *readers = reader->readers;
	struct lane_status status;

	write_stage_status(readers->stage, reader->lane, &status);
	write_stage_read_back_progress(readers->stage, reader->lane, status.read_back_bytes);
}

/* False: stopped meanwhile. */
static bool wait_turn(struct reader *reader)
{
	struct flash_readers *readers = reader->readers;

	while (!bmap_stop_requested(readers->stop)) {
		if (!pthread_mutex_trylock(&readers->search))
			return true;
		beat(reader);
		usleep(TURN_MS * 1000);
	}
	return false;
}

static void explain(struct reader *reader, const struct read_back_bad *bad, struct bmap_error *err)
{
	struct flash_readers *readers = reader->readers;
	struct first_difference difference = { .offset_bytes = UINT64_MAX, .why = "interrupted" };

	if (wait_turn(reader)) {
		first_difference_find(&reader->back, readers->stream, bad, beat, reader,
				      &difference);
		pthread_mutex_unlock(&readers->search);
	}
	read_back_error(&reader->back, bmap_range_begin(bad->map, bad->range),
			bmap_range_end(bad->map, bad->range), difference.offset_bytes,
			difference.why, err);
}

/* Some file systems refuse O_DIRECT only with the first request: the write stage found out. */
static void find_out_how(struct read_back *back)
{
	int flags = fcntl(back->target.fd, F_GETFL);

	back->target.direct = flags >= 0 && (flags & O_DIRECT);
	if (!back->target.direct)
		log_info(back->log,
			 "%s: read back without O_DIRECT: what the page cache holds of it is "
			 "dropped before",
			 back->target.name);
}

static bool body_is_good(struct reader *reader, struct bmap_error *err)
{
	struct flash_readers *readers = reader->readers;
	struct read_back *back = &reader->back;
	struct read_back_bad bad;

	back->sums = readers->stream->sums ? sum_stage_map(readers->stream->sums) : NULL;
	back->head = write_stage_head(readers->stage, reader->lane, &back->head_bytes);
	log_info(back->log, "reading back '%s'", back->target.name);
	find_out_how(back);
	if (!read_back_body(back, &bad, err))
		return false;
	if (!bad.found)
		return true;
	explain(reader, &bad, err);
	return false;
}

static bool head_is_good(struct reader *reader, struct bmap_error *err)
{
	uint64_t bad_byte;

	if (!read_back_head(&reader->back, &bad_byte, err))
		return false;
	if (bad_byte == UINT64_MAX)
		return true;
	read_back_error(&reader->back, bad_byte, bad_byte + 1, bad_byte, NULL, err);
	return false;
}

/* Waits for the lane's question and answers it; ends when the lane is final. */
static void *reader_run(void *arg)
{
	struct reader *reader = arg;
	struct write_stage *stage = reader->readers->stage;
	enum read_back_step step;

	while ((step = write_stage_read_back_wait(stage, reader->lane)) != READ_BACK_NOTHING) {
		struct bmap_error err = { 0 };
		bool good = step == READ_BACK_BODY ? body_is_good(reader, &err)
						   : head_is_good(reader, &err);

		write_stage_read_back(stage, reader->lane, good ? NULL : &err);
	}
	return NULL;
}
