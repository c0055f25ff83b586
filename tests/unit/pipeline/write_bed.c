/* SPDX-License-Identifier: MIT */
#include "write_bed.h"
#include "base/checked.h"
#include "base/clock.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMIT_BYTES 4096u
#define JOIN_GAP_BYTES 8192u
/* Loops over bytes of one thread: looking at each would make a run take minutes. */
#define UNWATCHED __attribute__((no_sanitize("thread")))

static void check_completed(void *arg, struct model_device *device, const struct io_request *req);
static void check_queued(void *arg, struct model_device *device, const struct io_request *req);

UNWATCHED void bed_init(struct write_bed *bed, uint64_t seed, uint64_t image_size)
{
	*bed = (struct write_bed){ .seed = seed, .image_size = image_size };
	bed->ring_bytes = RING_ALIGN_BYTES;
	bed->image = malloc(image_size + 1);
	bed->mapped = malloc(image_size + 1);
	assert_non_null(bed->image);
	assert_non_null(bed->mapped);
	for (uint64_t i = 0; i < image_size; i++)
		bed->image[i] = (uint8_t)(1 + (i * 7 + (i >> 9) + (i >> 17) * 5) % 127);
	memset(bed->mapped, 1, image_size);
	bed->mapped_bytes = image_size;
	bed->model = (struct model){
		.seed = seed, .completed = check_completed, .queued = check_queued, .arg = bed
	};
}

void bed_map(struct write_bed *bed, uint64_t block_size, const struct bmap_range *ranges,
	     size_t count)
{
	struct bmap_map *map = calloc(1, sizeof(*map));

	assert_non_null(map);
	map->version_major = 2;
	map->image_size_bytes = bed->image_size;
	map->block_size_bytes = block_size;
	map->blocks_count = div_round_up(bed->image_size, block_size);
	map->range_count = count;
	map->ranges = malloc((count + 1) * sizeof(*ranges));
	assert_non_null(map->ranges);
	if (count)
		memcpy(map->ranges, ranges, count * sizeof(*ranges));
	memset(bed->mapped, 0, bed->image_size);
	bed->mapped_bytes = 0;
	for (size_t i = 0; i < count; i++) {
		uint64_t begin = bmap_range_begin(map, i), end = bmap_range_end(map, i);

		map->mapped_blocks += ranges[i].last_block - ranges[i].first_block + 1;
		memset(bed->mapped + begin, 1, end - begin);
		bed->mapped_bytes += end - begin;
	}
	bed->first_mapped = count ? bmap_range_begin(map, 0) : 0;
	bed->map = map;
}

void bed_random_map(struct write_bed *bed, uint64_t block_size, unsigned max_blocks,
		    unsigned max_gap)
{
	uint64_t blocks = div_round_up(bed->image_size, block_size), block = 0;
	struct bmap_range *ranges = malloc((blocks + 1) * sizeof(*ranges));
	size_t n = 0;

	assert_non_null(ranges);
	for (;;) {
		block += model_random(&bed->seed, max_gap + 1);
		if (block >= blocks)
			break;
		ranges[n].first_block = block;
		block = min_u64(block + 1 + model_random(&bed->seed, max_blocks), blocks);
		ranges[n++].last_block = block - 1;
	}
	bed_map(bed, block_size, ranges, n);
	free(ranges);
}

static uint8_t byte_before(uint64_t i)
{
	return (uint8_t)(128 + (i * 3 + (i >> 8)) % 128);
}

UNWATCHED struct target *bed_add(struct write_bed *bed, enum target_kind kind, size_t align)
{
	static char *names[MODEL_MAX] = { "dev0", "dev1", "dev2", "dev3",
					  "dev4", "dev5", "dev6", "dev7" };
	size_t i = bed->target_count++;
	struct target *target = &bed->targets[i];
	struct model_device *device = &bed->model.device[i];
	uint64_t capacity = align_up(bed->image_size + 8192, max_u64(align, 4096));
	bool block_device = kind == TARGET_BLOCK_DEVICE;

	bed->model.device_count = bed->target_count;
	model_device_init(device, capacity, align);
	device->is_file = !block_device;
	if (!block_device) {
		device->size =
			kind == TARGET_REGULAR_FILE && !bed->size_unknown ? bed->image_size : 0;
	} else {
		for (uint64_t at = 0; at < capacity; at++)
			device->cache[at] = device->medium[at] = byte_before(at);
	}
	*target = (struct target){
		.name = names[i],
		.kind = kind,
		.fd = MODEL_FD + (int)i,
		.buffered_fd = kind == TARGET_REGULAR_FILE ? MODEL_FD + MODEL_MAX + (int)i : -1,
		.direct = align > 1,
		.align_bytes = align,
		.memory_align_bytes = min_u64(align, 4096),
		.has_size = block_device,
		.size_bytes = block_device ? capacity : 0,
		.withhold_head = block_device,
		.needs_flush = kind != TARGET_CHARACTER_DEVICE,
		.max_request_bytes = MIB,
		.tag_bytes = MIB,
		.queue_tags = 128,
	};
	return target;
}

/* --- the producer --- */

static enum ring_mapping mapping(void)
{
#ifdef __SANITIZE_THREAD__
	return RING_SINGLE;
#else
	return RING_DOUBLE;
#endif
}

static bool produce_span(struct write_bed *bed, uint64_t *position, uint64_t offset, uint64_t len)
{
	uint64_t seed = bed->seed;

	while (len) {
		uint64_t n = min_u64(len, 1 + model_random(&seed, 200000));

		if (bed->chunk_bytes)
			n = min_u64(len, bed->chunk_bytes);
		if (mapping() == RING_SINGLE)
			n = min_u64(n, ring_size(bed->ring) - *position % ring_size(bed->ring));
		if (!ring_wait_room(bed->ring, *position + n))
			return false;
		memcpy(ring_at(bed->ring, *position), bed->image + offset, n);
		*position += n;
		offset += n;
		len -= n;
		ring_publish(bed->ring, *position);
	}
	return true;
}

static bool produce_segment(struct write_bed *bed, uint64_t *position, uint64_t begin, uint64_t end)
{
	uint64_t aligned = align_up(*position, SEGMENT_ALIGN_BYTES);
	struct segment segment = { aligned, begin };

	assert_true(segments_append(bed->segments, segment, NULL));
	/* To a far start, in steps that fit. */
	while (*position < aligned) {
		uint64_t step = min_u64(aligned - *position, ring_size(bed->ring));

		if (!ring_wait_room(bed->ring, *position + step))
			return false;
		*position += step;
		ring_publish(bed->ring, *position);
	}
	return produce_span(bed, position, begin, end - begin);
}

static bool produce_packed(struct write_bed *bed, uint64_t *position)
{
	size_t count = plan_range_count(&bed->plan);

	for (size_t i = 0; i < count;) {
		uint64_t begin = align_down(plan_range_begin(&bed->plan, i), SEGMENT_ALIGN_BYTES);
		uint64_t end = plan_range_end(&bed->plan, i);

		for (i++; i < count && plan_range_begin(&bed->plan, i) < end + JOIN_GAP_BYTES; i++)
			end = plan_range_end(&bed->plan, i);
		end = min_u64(align_up(end, SEGMENT_ALIGN_BYTES), bed->image_size);
		if (!produce_segment(bed, position, begin, end))
			return false;
	}
	return true;
}

static bool skip_to(struct write_bed *bed, uint64_t *position, uint64_t to)
{
	while (*position < to) {
		uint64_t step = min_u64(to - *position, ring_size(bed->ring));

		if (!ring_wait_room(bed->ring, *position + step))
			return false;
		*position += step;
		ring_publish(bed->ring, *position);
	}
	return true;
}

static void *produce(void *arg)
{
	struct write_bed *bed = arg;
	uint64_t position = 0;
	bool good = skip_to(bed, &position, bed->start_position);

	if (good && bed->packed)
		good = produce_packed(bed, &position);
	else if (good)
		good = produce_segment(bed, &position, 0, bed->image_size);
	if (good)
		ring_finish(bed->ring);
	return NULL;
}

/* Another consumer, as the hash stage is one: takes its time. */
static void *consume(void *arg)
{
	struct write_bed *bed = arg;
	uint64_t position = 0, decoded, seed = bed->seed;
	bool finished;

	while (ring_wait_decoded(bed->ring, position, position + 300000, &decoded, &finished)) {
		while (position < decoded) {
			position = min_u64(decoded, position + 1 + model_random(&seed, 500000));
			ring_release(bed->ring, bed->lane_count + 1, position);
		}
		if (finished)
			break;
	}
	ring_detach(bed->ring, bed->lane_count + 1);
	return NULL;
}

/* --- who reads back --- */

static bool has_head(const struct write_bed *bed, size_t i)
{
	return bed->targets[i].withhold_head && bed->mapped_bytes && bed->first_mapped < HEAD_BYTES;
}

struct reader {
	struct write_bed *bed;
	size_t lane;
	pthread_t thread;
};

/* The lane rests: its device belongs to whoever was asked. */
UNWATCHED static void expect_as_asked(const struct write_bed *bed, size_t i,
				      enum read_back_step step)
{
	const struct model_device *device = &bed->model.device[i];
	uint64_t head_end;
	const uint8_t *head = write_stage_head(bed->stage, i, &head_end);

	if ((head != NULL) != has_head(bed, i)) {
		fprintf(stderr, "device %zu: a head that was not withheld, or none\n", i);
		abort();
	}
	for (uint64_t at = 0; at < bed->image_size; at++) {
		uint8_t want = bed->image[at], kept = want;

		if (!bed->mapped[at])
			continue;
		if (head && at < head_end) {
			kept = head[at];
			want = step == READ_BACK_HEAD ? want : 0;
		}
		if (device->medium[at] != want || kept != bed->image[at]) {
			fprintf(stderr, "step %d: byte %llu is %u, kept %u\n", step,
				(unsigned long long)at, device->medium[at], kept);
			abort();
		}
	}
}

static void stop_it(struct write_bed *bed)
{
	struct bmap_error why;

	bmap_error_set(&why, bed->stop_code, "stopped by the test");
	write_stage_stop(bed->stage, &why);
}

static void answer(const struct reader *reader, enum read_back_step step, enum bed_answer what)
{
	struct write_bed *bed = reader->bed;
	struct bmap_error bad;

	bmap_error_set(&bad, BMAP_ERR_IO, "read back: byte 7 differs");
	if (what == ANSWER_NEVER) {
		while (!write_stage_ended(bed->stage))
			usleep(1000);
		return;
	}
	expect_as_asked(bed, reader->lane, step);
	for (int n = 0; what == ANSWER_LATE && n < 10; n++) {
		usleep(300000);
		write_stage_read_back_progress(bed->stage, reader->lane, 1000 + n);
	}
	if (what == ANSWER_WHEN_STOPPED) {
		stop_it(bed);
		usleep(20000);
	}
	if (what == ANSWER_INTERRUPTED)
		bmap_error_set(&bad, BMAP_ERR_INTERRUPTED, "stopped while it was read");
	write_stage_read_back_progress(bed->stage, reader->lane, bed->mapped_bytes);
	write_stage_read_back(bed->stage, reader->lane,
			      what == ANSWER_GOOD || what == ANSWER_LATE ? NULL : &bad);
	if (what == ANSWER_INTERRUPTED) {
		usleep(20000);
		stop_it(bed);
	}
}

static void *read_back(void *arg)
{
	const struct reader *reader = arg;
	struct write_bed *bed = reader->bed;
	enum read_back_step step;

	while ((step = write_stage_read_back_wait(bed->stage, reader->lane)) != READ_BACK_NOTHING) {
		enum bed_answer what = step == READ_BACK_BODY ? bed->body_answer[reader->lane]
							      : bed->head_answer[reader->lane];

		if (step == READ_BACK_BODY)
			bed->asked_body[reader->lane]++;
		else
			bed->asked_head[reader->lane]++;
		answer(reader, step, what);
		if (what == ANSWER_NEVER)
			break;
	}
	return NULL;
}

static void start_readers(struct write_bed *bed, struct reader *readers)
{
	for (size_t i = 0; bed->read_back && i < bed->lane_count; i++) {
		readers[i] = (struct reader){ .bed = bed, .lane = i };
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_back, &readers[i]),
				 0);
	}
}

static void join_readers(const struct write_bed *bed, const struct reader *readers)
{
	for (size_t i = 0; bed->read_back && i < bed->lane_count; i++)
		pthread_join(readers[i].thread, NULL);
}

/* --- a run --- */

static void count_messages(void *user, enum bmap_log_level level, const char *text)
{
	struct write_bed *bed = user;

	if (level == BMAP_LOG_WARNING && strstr(text, "has not answered"))
		bed->warnings++;
	if (level == BMAP_LOG_INFO)
		bed->infos++;
	if (strstr(text, "left for a pass of its own"))
		bed->detachings++;
}

/* All that comes before the verdict was done. */
static bool all_written(const struct write_bed *bed, struct write_stage *stage)
{
	for (size_t i = 0; i < bed->lane_count; i++) {
		struct lane_status status;

		write_stage_status(stage, i, &status);
		if (status.state < BMAP_TARGET_WRITTEN)
			return false;
	}
	return true;
}

/* Reads the lanes' states, each as that of its target. */
static void read_lanes(struct write_bed *bed, struct write_stage *stage, uint64_t elapsed_ns)
{
	size_t lane = 0;

	for (size_t i = 0; i < bed->target_count; i++) {
		if (bed->left_out[i])
			continue;
		write_stage_status(stage, lane++, &bed->status[i]);
		if (bed->status[i].state >= BMAP_TARGET_DETACHED && !bed->ended_ns[i])
			bed->ended_ns[i] = elapsed_ns;
	}
}

static void wait_until_ended(struct write_bed *bed, struct write_stage *stage,
			     struct job_state *job)
{
	struct bmap_error why;
	uint64_t began = clock_now_ns();
	bool finished, committed = false, stopped = false;

	bmap_error_set(&why, bed->stop_code, "stopped by the test");
	while (!write_stage_ended(stage)) {
		struct pollfd bell = { .fd = job_bell_fd(job), .events = POLLIN };

		poll(&bell, 1, 1);
		job_answer_bell(job);
		read_lanes(bed, stage, clock_now_ns() - began);
		ring_decoded(bed->ring, &finished);
		if (bed->stop_after_us && !stopped &&
		    clock_now_ns() - began > bed->stop_after_us * 1000) {
			write_stage_stop(stage, &why);
			stopped = true;
		}
		if (bed->never_commit && !stopped && all_written(bed, stage)) {
			usleep(20000); /* for a lane that would not wait */
			write_stage_stop(stage, &why);
			stopped = true;
		}
		if (finished && !committed && !stopped && !bed->never_commit) {
			write_stage_commit(stage);
			committed = true;
		}
	}
}

static struct write_stage *start(struct write_bed *bed, struct job_state *job,
				 const struct engine_factory *factory, struct bmap_error *err)
{
	const struct write_stage_config config = {
		.ring = bed->ring,
		.segments = bed->segments,
		.plan = &bed->plan,
		.targets = bed->lanes,
		.target_count = bed->lane_count,
		.job = job,
		.queue_depth = bed->queue_depth,
		.stall_warn_seconds = bed->warn_seconds,
		.stall_give_up_seconds = bed->give_up_seconds,
		.read_back = bed->read_back,
		.detach = bed->detach,
		.straggler_seconds = bed->straggler_seconds,
		.engine = factory,
	};

	return write_stage_start(&config, err);
}

static void set_up(struct write_bed *bed)
{
	bed->plan = (struct image_plan){ .map = bed->map,
					 .image_size_bytes = bed->size_unknown ? SIZE_UNKNOWN
									       : bed->image_size };
	bed->lane_count = 0;
	for (size_t i = 0; i < bed->target_count; i++)
		if (!bed->left_out[i])
			bed->lanes[bed->lane_count++] = &bed->targets[i];
	memset(bed->ended_ns, 0, sizeof(bed->ended_ns));
	bed->ring = ring_new(bed->ring_bytes, bed->lane_count + 2, mapping(), NULL, NULL);
	bed->segments = segments_new(NULL);
	assert_non_null(bed->ring);
	assert_non_null(bed->segments);
}

static void tear_down(struct write_bed *bed)
{
	ring_free(bed->ring);
	segments_free(bed->segments);
}

/* What a run leaked on purpose stays reachable: its requests are held by the engine. */
static struct io_engine *leaked_engines[64];
static struct write_stage *leaked_stages[64];
static size_t leaked_count;

void bed_run(struct write_bed *bed)
{
	const struct bmap_log log = { .message = count_messages, .user = bed };
	const struct engine_factory factory = { .open = model_open, .arg = &bed->model };
	struct job_state *job = job_state_new(&log, NULL);
	struct write_stage *stage;
	struct reader readers[MODEL_MAX];
	pthread_t producer, consumer;

	assert_non_null(job);
	set_up(bed);
	/* The producer may run before the stage does. */
	assert_int_equal(pthread_create(&producer, NULL, produce, bed), 0);
	stage = bed->stage = start(bed, job, bed->engine ? bed->engine : &factory, NULL);
	assert_non_null(stage);
	assert_int_equal(pthread_create(&consumer, NULL, consume, bed), 0);
	start_readers(bed, readers);
	wait_until_ended(bed, stage, job);
	ring_stop(bed->ring);
	pthread_join(producer, NULL);
	pthread_join(consumer, NULL);
	write_stage_join(stage);
	join_readers(bed, readers);
	read_lanes(bed, stage, 0);
	write_stage_counters(stage, &bed->counters);
	bed->leaked = write_stage_free(stage);
	if (bed->leaked && leaked_count < ARRAY_LEN(leaked_engines)) {
		leaked_stages[leaked_count] = stage;
		leaked_engines[leaked_count++] = bed->model.engine;
	}
	tear_down(bed);
	job_state_free(job);
}

static struct io_engine *no_engine(void *arg, unsigned depth, const struct bmap_log *log,
				   struct bmap_error *err)
{
	(void)arg, (void)depth, (void)log;
	bmap_error_set(err, BMAP_ERR_UNSUPPORTED, "no engine here");
	return NULL;
}

void bed_expect_no_start(struct write_bed *bed)
{
	const struct engine_factory factory = { .open = no_engine };
	struct job_state *job = job_state_new(NULL, NULL);
	struct bmap_error err;

	set_up(bed);
	assert_null(start(bed, job, &factory, &err));
	assert_int_equal(err.code, BMAP_ERR_UNSUPPORTED);
	tear_down(bed);
	job_state_free(job);
}

/* --- what must hold --- */

static size_t number(const struct write_bed *bed, const struct model_device *device)
{
	return (size_t)(device - bed->model.device);
}

static void commit_block(const struct write_bed *bed, size_t i, uint64_t *begin, uint64_t *end)
{
	uint64_t block = max_u64(COMMIT_BYTES, bed->targets[i].align_bytes);

	*begin = align_down(bed->first_mapped, block);
	*end = min_u64(*begin + block, min_u64(HEAD_BYTES, bed->image_size));
}

/* Is there a way in which a power cut now leaves the whole commit block? */
UNWATCHED static bool may_look_whole(const struct write_bed *bed, const struct model_device *device)
{
	uint64_t begin, end;

	commit_block(bed, number(bed, device), &begin, &end);
	for (uint64_t at = begin; at < end; at++)
		if (bed->mapped[at] && device->medium[at] != bed->image[at] &&
		    device->cache[at] != bed->image[at])
			return false;
	return true;
}

UNWATCHED static void check_completed(void *arg, struct model_device *device,
				      const struct io_request *req)
{
	struct write_bed *bed = arg;
	uint64_t begin, end;

	(void)req;
	if (!has_head(bed, number(bed, device)) || !may_look_whole(bed, device))
		return;
	commit_block(bed, number(bed, device), &begin, &end);
	for (uint64_t at = 0; at < bed->image_size; at++)
		if (bed->mapped[at] && (at < begin || at >= end) &&
		    device->medium[at] != bed->image[at]) {
			fprintf(stderr, "commit block may be whole, byte %llu is not\n",
				(unsigned long long)at);
			abort();
		}
}

/* Only memory of the first mapping is registered with the kernel. */
static void expect_inside_ring(const struct write_bed *bed, const struct io_request *req)
{
	const uint8_t *base = ring_base(bed->ring);
	size_t size = ring_size(bed->ring);

	if (req->data >= base && req->data < base + size)
		assert_true(req->data + req->len_bytes <= base + size);
}

UNWATCHED static void check_queued(void *arg, struct model_device *device,
				   const struct io_request *req)
{
	struct write_bed *bed = arg;
	uint64_t end = min_u64(HEAD_BYTES, bed->image_size);
	const struct target *target = &bed->targets[number(bed, device)];

	if (bed->stop_at_commit && device == bed->model.device && device->flushes >= 2 &&
	    req->op == IO_WRITE && req->offset_bytes == 0) {
		struct bmap_error why;

		bmap_error_set(&why, BMAP_ERR_INTERRUPTED, "too late");
		write_stage_stop(bed->stage, &why);
	}
	expect_inside_ring(bed, req);
	if (target->queue_tags <= 4)
		assert_int_equal(req->flags, IO_ASYNC);
	if (req->op != IO_WRITE || req->offset_bytes < HEAD_BYTES ||
	    !has_head(bed, number(bed, device)) || bed->body_begun[number(bed, device)])
		return;
	bed->body_begun[number(bed, device)] = true;
	for (uint64_t at = 0; at < end; at++)
		if (bed->mapped[at] && device->medium[at]) {
			fprintf(stderr, "byte %llu of the head is not zero on the medium\n",
				(unsigned long long)at);
			abort();
		}
}

static uint8_t before(const struct write_bed *bed, size_t i, uint64_t at)
{
	return bed->targets[i].kind == TARGET_BLOCK_DEVICE ? byte_before(at) : 0;
}

UNWATCHED static void expect_neighbours(const struct write_bed *bed, size_t i)
{
	const struct model_device *device = &bed->model.device[i];

	for (uint64_t at = 0; at < device->capacity; at++)
		if ((at >= bed->image_size || !bed->mapped[at]) &&
		    device->cache[at] != before(bed, i, at))
			fail_msg("device %zu: unmapped byte %llu was changed", i,
				 (unsigned long long)at);
}

UNWATCHED void bed_expect_done(struct write_bed *bed, size_t i)
{
	const struct model_device *device = &bed->model.device[i];

	if (bed->status[i].state != BMAP_TARGET_DONE)
		fail_msg("device %zu: state %d: %s", i, bed->status[i].state,
			 bed->status[i].error.text);
	assert_int_equal(bed->status[i].error.code, BMAP_ERR_NONE);
	assert_int_equal(bed->status[i].completed_bytes, bed->mapped_bytes);
	assert_false(bed->status[i].abandoned);
	for (uint64_t at = 0; at < bed->image_size; at++)
		if (bed->mapped[at] &&
		    (bed->targets[i].needs_flush ? device->medium : device->cache)[at] !=
			    bed->image[at])
			fail_msg("device %zu: byte %llu is %u", i, (unsigned long long)at,
				 device->medium[at]);
	if (bed->targets[i].kind == TARGET_REGULAR_FILE)
		assert_true(device->size <= bed->image_size);
	expect_neighbours(bed, i);
}

void bed_expect_ended(struct write_bed *bed, size_t i, enum bmap_target_state state,
		      enum bmap_error_code code)
{
	assert_int_equal(bed->status[i].state, state);
	assert_int_equal(bed->status[i].error.code, code);
	expect_neighbours(bed, i);
	if (has_head(bed, i) && !bed->model.device[i].dead)
		assert_false(may_look_whole(bed, &bed->model.device[i]));
}

void bed_free(struct write_bed *bed)
{
	for (size_t i = 0; i < bed->target_count; i++)
		model_device_free(&bed->model.device[i]);
	if (bed->map) {
		free(bed->map->ranges);
		free(bed->map);
	}
	free(bed->image);
	free(bed->mapped);
}
