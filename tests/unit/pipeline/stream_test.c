/* SPDX-License-Identifier: MIT */
/* Source, decoders, ring and hashers together: every wanted byte of an image arrives at its place,
 * whatever it is packed in, and whatever is wrong with it is an error and never a hang. */
#include "unit_test.h"

#include "bzip2_pack.h"
#include "faulty_engine.h"
#include "packings.h"

#include "base/checked.h"
#include "base/threads.h"
#include "decode/archive.h"
#include "digest/digest.h"
#include "pipeline/decode_stage.h"
#include "pipeline/hash_stage.h"
#include "pipeline/walk.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A map with random ranges; its digests are those of the image. */
static struct bmap_map *make_map(const struct bytes *image, uint64_t block, unsigned seed)
{
	struct bmap_map *map = calloc(1, sizeof(*map));
	uint64_t blocks = div_round_up(image->len, block), at = (uint64_t)rand_r(&seed) % 3;

	*map = (struct bmap_map){ .version_major = 2,
				  .image_size_bytes = image->len,
				  .block_size_bytes = block,
				  .blocks_count = blocks,
				  .digest = BMAP_DIGEST_SHA256,
				  .digest_bytes = 32 };
	map->ranges = calloc(blocks, sizeof(*map->ranges));
	map->digests = calloc(blocks, 32);
	while (at < blocks) {
		uint64_t n = 1 + (uint64_t)rand_r(&seed) % (rand_r(&seed) % 4 ? 9 : 300);
		uint64_t last = min_u64(at + n, blocks) - 1;

		map->ranges[map->range_count++] = (struct bmap_range){ at, last };
		at = last + 1 + (uint64_t)rand_r(&seed) % (rand_r(&seed) % 4 ? 5 : 400);
	}
	for (size_t i = 0; i < map->range_count; i++) {
		uint64_t begin = bmap_range_begin(map, i);

		map->mapped_blocks += map->ranges[i].last_block - map->ranges[i].first_block + 1;
		digest_of(BMAP_DIGEST_SHA256, image->data + begin, bmap_range_end(map, i) - begin,
			  map->digests + 32 * i, NULL);
	}
	return map;
}

/* A consumer as a lane is one: takes every wanted byte and puts it at its place. */
struct collector {
	struct ring *ring;
	struct walk walk;
	uint8_t *image;
	uint64_t bytes;
	pthread_t thread;
};

static void *collect(void *arg)
{
	struct collector *c = arg;
	uint64_t decoded = 0;
	bool finished = false;
	struct piece piece;

	while (ring_wait_decoded(c->ring, decoded, decoded + 300000, &decoded, &finished)) {
		while (walk_next(&c->walk, decoded, &piece)) {
			memcpy(c->image + piece.image_offset, ring_at(c->ring, piece.position),
			       piece.len_bytes);
			c->bytes += piece.len_bytes;
			walk_take(&c->walk, piece.len_bytes);
			ring_release(c->ring, 0, c->walk.position);
		}
		if (finished || walk_done(&c->walk))
			break;
		ring_release(c->ring, 0, c->walk.position);
	}
	ring_detach(c->ring, 0);
	return NULL;
}

struct feeder {
	const struct bytes *packed;
	int fd;
	pthread_t thread;
};

static void *feed(void *arg)
{
	struct feeder *f = arg;
	unsigned seed = 3;

	for (size_t i = 0; i < f->packed->len;) {
		size_t n = min_u64(1 + (size_t)rand_r(&seed) % 70000, f->packed->len - i);
		ssize_t got = write(f->fd, f->packed->data + i, n);

		if (got < 0)
			break;
		i += (size_t)got;
	}
	close(f->fd);
	return NULL;
}

struct result {
	bool good;
	struct bmap_error err;
	uint8_t *image;
	uint64_t collected, image_bytes;
	struct hash_stage_counts counts;
};

static bool count_bad(void *arg, const struct bmap_bad_range *bad, struct bmap_error *err)
{
	(void)arg;
	(void)bad;
	(void)err;
	return true;
}

static char *write_file(const struct bytes *packed)
{
	char *path = strdup("/tmp/bmaptool-stream-XXXXXX");
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, packed->data, packed->len), packed->len);
	close(fd);
	return path;
}

/* Runs it all; stop_after_us >= 0: stops it at some moment. faulty: what reads a raw file, or NULL.
 */
static void run_faulty(const struct bytes *packed, const struct image_plan *plan, bool through_pipe,
		       long stop_after_us, struct faulty_plan *faulty, struct result *result)
{
	const struct engine_factory factory = { .open = faulty_open, .arg = faulty };
	struct decode_stage_config config = { 0 };
	struct hash_stage_config hash_config = { 0 };
	struct bmap_stop *stop = bmap_stop_new(NULL);
	struct collector collector = { 0 };
	struct bmap_error *err = &result->err;
	struct feeder feeder = { .packed = packed };
	char *path = through_pipe ? NULL : write_file(packed), name[32];
	struct decode_stage *decode;
	struct hash_stage *hash = NULL;
	int ends[2];

	*result = (struct result){ .image = calloc(1, plan->map ? plan->map->image_size_bytes
								: packed->len * 300 + 1) };
	if (through_pipe) {
		assert_int_equal(pipe(ends), 0);
		feeder.fd = ends[1];
		assert_true(thread_start(&feeder.thread, "feeder", feed, &feeder, err));
		snprintf(name, sizeof(name), "/dev/fd/%d", ends[0]);
	}
	config.source = source_open(through_pipe ? name : path, stop, err);
	assert_non_null(config.source);
	config.format = decoder_detect(config.source->head, config.source->head_len);
	if (config.format && !config.format->plan(config.source->head, config.source->head_len,
						  &config.decoder_plan, err)) {
		source_close(config.source);
		goto out;
	}
	if (packed->archive) {
		config.archive = archive_in_streams();
		config.archive_ring_bytes = 2 * RING_ALIGN_BYTES;
	}
	config.job = job_state_new(NULL, err);
	config.segments = segments_new(err);
	config.ring = ring_new(2 * RING_ALIGN_BYTES, 3, RING_DOUBLE, NULL, err);
	config.plan = plan;
	config.workers = 3;
	config.memory_bytes = 64 * MIB;
	config.check_content = true;
	config.engine = faulty ? &factory : NULL;
	collector = (struct collector){ .ring = config.ring, .image = result->image };
	walk_init(&collector.walk, plan, config.segments, 0, plan_range_count(plan));
	assert_true(thread_start(&collector.thread, "collector", collect, &collector, err));
	if (plan->map) {
		hash_config = (struct hash_stage_config){ .ring = config.ring,
							  .first_consumer = 1,
							  .threads = 2,
							  .segments = config.segments,
							  .plan = plan,
							  .job = config.job,
							  .on_bad = count_bad };
		hash = hash_stage_start(&hash_config, err);
		assert_non_null(hash);
	} else {
		ring_detach(config.ring, 1);
		ring_detach(config.ring, 2);
	}
	decode = decode_stage_start(&config, err);
	assert_non_null(decode);
	if (stop_after_us >= 0)
		usleep((useconds_t)stop_after_us);
	else
		while (!job_failed(config.job, NULL) &&
		       !(decode_stage_ended(decode) && (!hash || hash_stage_ended(hash)))) {
			poll(&(struct pollfd){ .fd = job_bell_fd(config.job), .events = POLLIN }, 1,
			     -1);
			job_answer_bell(config.job);
		}
	bmap_stop_request(stop);
	if (stop_after_us >= 0 || job_failed(config.job, err)) {
		ring_stop(config.ring);
		decode_stage_stop(decode);
	}
	decode_stage_join(decode);
	pthread_join(collector.thread, NULL);
	if (hash) {
		hash_stage_join(hash);
		hash_stage_counts(hash, &result->counts);
	}
	result->good = decode_stage_ended(decode) && !job_failed(config.job, err);
	result->image_bytes = decode_stage_image_bytes(decode);
	result->collected = collector.bytes;
	decode_stage_free(decode);
	hash_stage_free(hash);
	ring_free(config.ring);
	segments_free(config.segments);
	job_state_free(config.job);
	source_close(config.source);
out:
	if (through_pipe) {
		close(ends[0]);
		pthread_join(feeder.thread, NULL);
	}
	if (path)
		unlink(path);
	free(path);
	bmap_stop_free(stop);
}

static void run(const struct bytes *packed, const struct image_plan *plan, bool through_pipe,
		long stop_after_us, struct result *result)
{
	run_faulty(packed, plan, through_pipe, stop_after_us, NULL, result);
}

static void every_wanted_byte_arrives_at_its_place(void **state)
{
	static const size_t sizes[] = { 1, 4095, 4096, 300001, 6 * MIB + 12345 };
	static const uint64_t blocks[] = { 512, 4096, 65536 };

	(void)state;
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
		for (size_t b = 0; b < ARRAY_LEN(blocks); b++) {
			struct bytes image = make_image(sizes[s], (unsigned)(s + 1));
			struct bmap_map *map = make_map(&image, blocks[b], (unsigned)(s * 5 + b));
			struct image_plan plan = { map, image.len };

			for (unsigned p = 0; p < 2 * PACKINGS; p++) {
				if (!can_unpack(p / 2))
					continue;
				struct bytes packed = pack(&image, p / 2);
				struct result result;
				bool pipe = p / 2 == RAW_PIPE || (p % 2 && p / 2 != RAW_FILE);

				run(&packed, &plan, pipe, -1, &result);
				if (!result.good)
					fail_msg("%s: %s", packing_names[p / 2], result.err.text);
				assert_int_equal(result.collected, bmap_mapped_bytes(map));
				assert_int_equal(result.counts.ranges_checked, map->range_count);
				assert_int_equal(result.counts.ranges_bad, 0);
				assert_int_equal(result.image_bytes, image.len);
				for (size_t i = 0; i < map->range_count; i++)
					assert_memory_equal(result.image + bmap_range_begin(map, i),
							    image.data + bmap_range_begin(map, i),
							    bmap_range_end(map, i) -
								    bmap_range_begin(map, i));
				free(result.image);
				free(packed.data);
			}
			bmap_map_free(map);
			free(image.data);
		}
}

static void without_a_map_the_whole_image_comes(void **state)
{
	struct bytes image = make_image(5 * MIB + 777, 4);

	(void)state;
	for (unsigned p = 0; p < PACKINGS; p++) {
		if (!can_unpack(p))
			continue;
		struct bytes packed = pack(&image, p);
		struct image_plan plan = { NULL, p == RAW_FILE ? image.len : SIZE_UNKNOWN };
		struct result result;

		run(&packed, &plan, p == RAW_PIPE, -1, &result);
		if (!result.good)
			fail_msg("%s: %s", packing_names[p], result.err.text);
		assert_int_equal(result.collected, image.len);
		if (memcmp(result.image, image.data, image.len))
			fail_msg("%s: wrong bytes", packing_names[p]);
		free(result.image);
		free(packed.data);
	}
	free(image.data);
}

/* Cut anywhere, also where every range is already there: an error with the source's name. */
static void a_truncated_source_fails(void **state)
{
	struct bytes image = make_image(3 * MIB, 8);
	struct bmap_map *map = make_map(&image, 4096, 1);
	struct image_plan plan = { map, image.len };

	(void)state;
	for (unsigned p = RAW_PIPE; p < PACKINGS; p++) {
		if (!can_unpack(p))
			continue;
		struct bytes packed = pack(&image, p);

		for (size_t cut = 1; cut < packed.len; cut = cut * 5 + 3) {
			struct bytes shorter = { packed.data, packed.len - cut, packed.archive };
			struct result result;

			run(&shorter, &plan, p == RAW_PIPE, -1, &result);
			assert_false(result.good);
			assert_true(result.err.text[0] == '/');
			free(result.image);
		}
		free(packed.data);
	}
	bmap_map_free(map);
	free(image.data);
}

static void an_image_of_another_length_than_its_map_fails(void **state)
{
	struct bytes image = make_image(2 * MIB, 8);
	struct bmap_map *map = make_map(&image, 4096, 1);

	(void)state;
	for (unsigned p = RAW_PIPE; p < PACKINGS; p++)
		for (int more = -1; more <= 1 && can_unpack(p); more += 2) {
			struct bytes packed = pack(&image, p);
			struct bmap_map other = *map;
			struct image_plan plan = { &other, image.len + 4096 * more };
			struct result result;

			other.image_size_bytes += 4096 * more;
			other.range_count = 1; /* the first is there in any case */
			run(&packed, &plan, p == RAW_PIPE, -1, &result);
			assert_false(result.good);
			assert_int_equal(result.err.code, BMAP_ERR_DATA);
			free(result.image);
			free(packed.data);
		}
	bmap_map_free(map);
	free(image.data);
}

static void a_wrong_byte_is_one_bad_range(void **state)
{
	struct bytes image = make_image(2 * MIB, 8);
	struct bmap_map *map = make_map(&image, 4096, 1);
	struct image_plan plan = { map, image.len };

	(void)state;
	for (unsigned p = 0; p < PACKINGS; p++) {
		if (!can_unpack(p))
			continue;
		struct bytes wrong = { malloc(image.len), image.len }, packed;
		size_t range = map->range_count / 2;
		struct result result;

		memcpy(wrong.data, image.data, image.len);
		wrong.data[bmap_range_end(map, range) - 1] ^= 1;
		packed = pack(&wrong, p);
		run(&packed, &plan, p == RAW_PIPE, -1, &result);
		assert_true(result.good);
		assert_int_equal(result.counts.ranges_bad, 1);
		assert_int_equal(result.counts.ranges_checked, map->range_count);
		free(result.image);
		free(packed.data);
		free(wrong.data);
	}
	bmap_map_free(map);
	free(image.data);
}

struct bad_blocks {
	const struct bmap_map *map;
	const uint64_t *one; /* offset of the only one, or NULL: all that are not mapped */
	unsigned failed; /* reads */
};

static bool is_bad(const struct bad_blocks *bad, uint64_t begin, uint64_t end)
{
	uint64_t at = begin;

	if (bad->one)
		return *bad->one >= begin && *bad->one < end;
	for (size_t i = 0; i < bad->map->range_count && at < end; i++)
		if (bmap_range_begin(bad->map, i) <= at && bmap_range_end(bad->map, i) > at)
			at = bmap_range_end(bad->map, i);
	return at < end;
}

static void fail_bad_blocks(void *arg, uint64_t number, struct io_request *req)
{
	struct bad_blocks *bad = arg;

	(void)number;
	if (!is_bad(bad, req->offset_bytes, req->offset_bytes + req->len_bytes))
		return;
	memset(req->data, 0xEE, req->len_bytes);
	req->result = -EIO;
	bad->failed++;
}

/* Blocks of 512 bytes: what is rounded out to pages is not wanted either. */
static void only_what_is_mapped_has_to_be_readable(void **state)
{
	struct bytes image = make_image(6 * MIB + 12345, 11);

	(void)state;
	for (uint64_t block = 512; block <= 4096; block *= 8) {
		struct bmap_map *map = make_map(&image, block, 5);
		struct image_plan plan = { map, image.len };
		uint64_t wanted = bmap_range_begin(map, map->range_count / 2);
		struct bad_blocks bad = { .map = map };
		struct faulty_plan faulty = { .hook = fail_bad_blocks, .arg = &bad };
		struct result result;

		run_faulty(&image, &plan, false, -1, &faulty, &result);
		if (!result.good)
			fail_msg("%s", result.err.text);
		assert_true(bad.failed > 0);
		assert_int_equal(result.collected, bmap_mapped_bytes(map));
		assert_int_equal(result.counts.ranges_checked, map->range_count);
		assert_int_equal(result.counts.ranges_bad, 0);
		free(result.image);

		bad.one = &wanted;
		run_faulty(&image, &plan, false, -1, &faulty, &result);
		assert_false(result.good);
		assert_int_equal(result.err.code, BMAP_ERR_IO);
		assert_int_equal(result.err.errnum, EIO);
		assert_int_equal(result.err.offset_bytes, wanted);
		free(result.image);
		bmap_map_free(map);
	}
	free(image.data);
}

static void a_stop_at_any_moment_ends_it(void **state)
{
	struct bytes image = make_image(4 * MIB, 8);
	struct bmap_map *map = make_map(&image, 4096, 1);
	struct image_plan plan = { map, image.len };

	(void)state;
	for (unsigned p = 0; p < PACKINGS; p++) {
		if (!can_unpack(p))
			continue;
		struct bytes packed = pack(&image, p);

		for (long us = 0; us < 10000; us = us * 3 + 50) {
			struct result result;

			run(&packed, &plan, p == RAW_PIPE, us, &result);
			free(result.image);
		}
		free(packed.data);
	}
	bmap_map_free(map);
	free(image.data);
}

/* Every place where a block's magic stands is a guess: see bzip2_units.c. */
static void a_magic_inside_a_block_is_no_border(void **state)
{
	static uint8_t file[100000], image[4000000];

	(void)state;
	for (unsigned magics = 0; magics <= 4; magics++) {
		size_t image_len, len = bzip2_forge(file, sizeof(file), magics, image,
						    sizeof(image), &image_len);
		struct bytes packed = { file, len };
		struct image_plan plan = { NULL, SIZE_UNKNOWN };
		struct result result;

		if (!len)
			skip();
		run(&packed, &plan, false, -1, &result);
		if (!result.good)
			fail_msg("%u magics: %s", magics, result.err.text);
		assert_int_equal(result.image_bytes, image_len);
		assert_memory_equal(result.image, image, image_len);
		free(result.image);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_wanted_byte_arrives_at_its_place),
		cmocka_unit_test(without_a_map_the_whole_image_comes),
		cmocka_unit_test(a_truncated_source_fails),
		cmocka_unit_test(an_image_of_another_length_than_its_map_fails),
		cmocka_unit_test(a_wrong_byte_is_one_bad_range),
		cmocka_unit_test(only_what_is_mapped_has_to_be_readable),
		cmocka_unit_test(a_stop_at_any_moment_ends_it),
		cmocka_unit_test(a_magic_inside_a_block_is_no_border),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
