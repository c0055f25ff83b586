/* SPDX-License-Identifier: MIT */
/* The hash stage on its own, behind a producer that writes over what was released at once: a range
 * whose bytes were let go too early has a wrong checksum, one that is held too long is a hang. */
#include "unit_test.h"

#include "base/checked.h"
#include "base/threads.h"
#include "digest/digest.h"
#include "pipeline/hash_stage.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ThreadSanitizer does not see races between the two addresses of a double mapping. */
#ifdef __SANITIZE_THREAD__
#define MAPPING RING_SINGLE
#else
#define MAPPING RING_DOUBLE
#endif

#define MAX_BAD 4u

enum holes { IN_THE_RING, LEFT_OUT };

struct bed {
	struct bmap_map map;
	uint8_t *image;
	struct image_plan plan;
	struct job_state *job;
	struct segments *segments;
	struct ring *ring;
	struct hash_stage *stage;
	struct hash_stage_counts counts;
	bool ended;
	/* of the producer */
	enum holes holes;
	uint64_t produced_bytes; /* of the image: it ends there */
	pthread_t producer;
	/* what on_bad() heard, under the stage's lock */
	struct bmap_bad_range bad[MAX_BAD];
	unsigned bad_count;
	bool bad_ends_it;
};

/* A range to make: gap blocks that nobody wants, then len blocks. */
struct piece_spec {
	uint64_t gap, len;
};

static void fill(uint8_t *data, size_t len)
{
	uint64_t x = 88172645463325252ull;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		data[i] = (uint8_t)(x >> 32);
	}
}

/* Ranges as the specs say, over and over; the image ends tail_bytes before the last block's end. */
static void bed_image(struct bed *bed, enum bmap_digest digest, uint64_t block,
		      const struct piece_spec *specs, size_t spec_count, size_t range_count,
		      uint64_t tail_bytes)
{
	struct bmap_map *map = &bed->map;
	uint64_t at = 0;

	*map = (struct bmap_map){ .version_major = 2,
				  .block_size_bytes = block,
				  .digest = digest,
				  .digest_bytes = digest_length(digest),
				  .range_count = range_count };
	map->ranges = calloc(range_count, sizeof(*map->ranges));
	map->digests = calloc(range_count, map->digest_bytes);
	for (size_t i = 0; i < range_count; i++) {
		const struct piece_spec *spec = &specs[i % spec_count];

		at += spec->gap;
		map->ranges[i] = (struct bmap_range){ at, at + spec->len - 1 };
		at += spec->len;
		map->mapped_blocks += spec->len;
	}
	map->blocks_count = at;
	map->image_size_bytes = at * block - tail_bytes;
	bed->image = malloc(map->image_size_bytes);
	fill(bed->image, map->image_size_bytes);
	for (size_t i = 0; i < range_count; i++) {
		uint64_t begin = bmap_range_begin(map, i);

		assert_true(digest_of(digest, bed->image + begin, bmap_range_end(map, i) - begin,
				      map->digests + map->digest_bytes * i, NULL));
	}
	bed->plan = (struct image_plan){ map, map->image_size_bytes };
	bed->produced_bytes = map->image_size_bytes;
}

static bool on_bad(void *arg, const struct bmap_bad_range *bad, struct bmap_error *err)
{
	struct bed *bed = arg;

	if (bed->bad_count < MAX_BAD)
		bed->bad[bed->bad_count] = *bad;
	bed->bad_count++;
	return !bed->bad_ends_it || bmap_error_data(err, bad->offset_bytes, "that was bad");
}

/* Image bytes from offset on that nobody wants, in whole pages; 0: the first page is wanted. */
static uint64_t unwanted(const struct bed *bed, uint64_t offset)
{
	const struct bmap_map *map = &bed->map;
	size_t i = 0;

	while (i < map->range_count && bmap_range_end(map, i) <= offset)
		i++;
	if (i == map->range_count)
		return map->image_size_bytes - offset;
	if (bmap_range_begin(map, i) <= offset)
		return 0;
	return align_down(bmap_range_begin(map, i) - offset, SEGMENT_ALIGN_BYTES);
}

static bool produce_part(struct bed *bed, uint64_t *position, uint64_t offset, uint64_t len,
			 unsigned *seed)
{
	while (len) {
		uint64_t room = ring_size(bed->ring) - *position % ring_size(bed->ring);
		uint64_t n = min_u64(len, 1 + (uint64_t)rand_r(seed) % 60000);

		n = min_u64(n, room); /* of a single mapping */
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

/* Pages without wanted bytes are left out, if asked for; each stretch is a segment of its own. */
static void *produce(void *arg)
{
	struct bed *bed = arg;
	uint64_t position = 0, offset = 0;
	unsigned seed = 11;

	while (offset < bed->produced_bytes) {
		uint64_t end = bed->produced_bytes;

		if (bed->holes == LEFT_OUT) {
			offset += unwanted(bed, offset);
			for (end = offset; end < bed->produced_bytes && !unwanted(bed, end);)
				end += min_u64(SEGMENT_ALIGN_BYTES, bed->produced_bytes - end);
			if (offset >= bed->produced_bytes)
				break;
		}
		position = align_up(position, SEGMENT_ALIGN_BYTES);
		segments_append(bed->segments, (struct segment){ position, offset }, NULL);
		if (!produce_part(bed, &position, offset, end - offset, &seed))
			return NULL;
		offset = end;
	}
	ring_finish(bed->ring);
	return NULL;
}

static void bed_open(struct bed *bed, unsigned threads, size_t ring_bytes)
{
	struct bmap_error err;

	bed->job = job_state_new(NULL, &err);
	bed->segments = segments_new(&err);
	bed->ring = ring_new(ring_bytes, threads, MAPPING, NULL, &err);
	assert_non_null(bed->ring);
}

static void bed_start(struct bed *bed, unsigned threads)
{
	struct bmap_error err;
	const struct hash_stage_config config = { .ring = bed->ring,
						  .threads = threads,
						  .segments = bed->segments,
						  .plan = &bed->plan,
						  .job = bed->job,
						  .on_bad = on_bad,
						  .arg = bed };

	bed->stage = hash_stage_start(&config, &err);
	assert_non_null(bed->stage);
}

static void bed_join(struct bed *bed)
{
	hash_stage_join(bed->stage);
	hash_stage_counts(bed->stage, &bed->counts);
	bed->ended = hash_stage_ended(bed->stage);
	hash_stage_free(bed->stage);
}

/* After join; the image stays. */
static void bed_close(struct bed *bed)
{
	ring_free(bed->ring);
	segments_free(bed->segments);
	job_state_free(bed->job);
}

static void bed_free(struct bed *bed)
{
	free(bed->image);
	free(bed->map.ranges);
	free(bed->map.digests);
	free(bed->map.has_digest);
}

static void bed_run(struct bed *bed, unsigned threads, size_t ring_bytes)
{
	struct bmap_error err;

	bed_open(bed, threads, ring_bytes);
	bed_start(bed, threads);
	assert_true(thread_start(&bed->producer, "producer", produce, bed, &err));
	hash_stage_join(bed->stage);
	/* Whoever failed does not read on. */
	ring_stop(bed->ring);
	pthread_join(bed->producer, NULL);
	bed_join(bed);
}

#define LEAST_RING (MAPPING == RING_SINGLE ? 64 * KIB : RING_ALIGN_BYTES)

static const struct shape {
	const char *why;
	enum bmap_digest digest;
	uint64_t block;
	size_t ranges;
	uint64_t tail_bytes;
	struct piece_spec specs[5];
	size_t spec_count;
} shapes[] = {
	{ "each longer than the ring", BMAP_DIGEST_SHA256, 4096, 4, 0, { { 1, 600 } }, 1 },
	{ "one only", BMAP_DIGEST_SHA256, 4096, 1, 0, { { 3, 1500 } }, 1 },
	{ "two in the ring at once", BMAP_DIGEST_SHA256, 4096, 30, 0, { { 5, 100 } }, 1 },
	{ "long and short ones",
	  BMAP_DIGEST_SHA256,
	  4096,
	  40,
	  1000,
	  { { 2, 1 }, { 1, 300 }, { 0, 2 }, { 70, 9 }, { 1, 65 } },
	  5 },
	{ "a long one behind many short ones, which one lane has and the other waits for",
	  BMAP_DIGEST_SHA256,
	  4096,
	  9,
	  1,
	  { { 0, 2 }, { 1, 2 }, { 1, 700 } },
	  3 },
	{ "tiny ones, at odd places",
	  BMAP_DIGEST_SHA256,
	  512,
	  3000,
	  511,
	  { { 3, 1 }, { 1, 5 } },
	  2 },
	{ "one block far behind", BMAP_DIGEST_SHA256, 4096, 2, 77, { { 0, 1 }, { 1200, 1 } }, 2 },
	{ "of a kind that is not hashed in pairs",
	  BMAP_DIGEST_SHA1,
	  4096,
	  40,
	  1000,
	  { { 2, 1 }, { 1, 300 }, { 0, 2 }, { 70, 9 }, { 1, 65 } },
	  5 },
};

static void bed_shape(struct bed *bed, const struct shape *shape, enum holes holes)
{
	*bed = (struct bed){ .holes = holes };
	bed_image(bed, shape->digest, shape->block, shape->specs, shape->spec_count, shape->ranges,
		  shape->tail_bytes);
}

static void every_range_is_checked_whatever_fits_in_the_ring(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		for (enum holes holes = IN_THE_RING; holes <= LEFT_OUT; holes++) {
			struct bed bed;

			bed_shape(&bed, &shapes[i], holes);
			for (unsigned threads = 1; threads <= 3; threads++) {
				bed_run(&bed, threads, LEAST_RING);
				if (!bed.ended || bed.counts.ranges_checked != shapes[i].ranges ||
				    bed.counts.ranges_bad ||
				    bed.counts.checked_bytes != bmap_mapped_bytes(&bed.map))
					fail_msg("%s, %u threads: %zu checked, %zu bad",
						 shapes[i].why, threads, bed.counts.ranges_checked,
						 bed.counts.ranges_bad);
				bed_close(&bed);
			}
			bed_free(&bed);
		}
}

/* All bytes are there before the thread begins: then both lanes have ranges, the first two. */
static void a_bad_checksum_is_found_in_either_lane(void **state)
{
	static const struct piece_spec specs[] = { { 0, 80 }, { 1, 90 } };

	(void)state;
	for (size_t wrong = 0; wrong < 4; wrong++) {
		struct bed bed = { 0 };
		struct bmap_range *range;
		uint64_t at;

		bed_image(&bed, BMAP_DIGEST_SHA256, 4096, specs, 2, 4, 0);
		at = wrong % 2 ? bmap_range_begin(&bed.map, wrong)
			       : bmap_range_end(&bed.map, wrong) - 1;
		bed.image[at] ^= 0x10;
		range = &bed.map.ranges[wrong];
		bed_open(&bed, 1, RING_ALIGN_BYTES);
		produce(&bed);
		bed_start(&bed, 1);
		bed_join(&bed);
		assert_true(bed.ended);
		assert_int_equal(bed.counts.ranges_checked, 4);
		assert_int_equal(bed.counts.ranges_bad, 1);
		assert_int_equal(bed.bad_count, 1);
		assert_int_equal(bed.bad[0].first_block, range->first_block);
		assert_int_equal(bed.bad[0].last_block, range->last_block);
		assert_int_equal(bed.bad[0].offset_bytes, range->first_block * 4096);
		assert_ptr_equal(bed.bad[0].expected, bed.map.digests + 32 * wrong);
		assert_false(job_failed(bed.job, NULL));
		bed_close(&bed);
		bed_free(&bed);
	}
}

static void a_bad_checksum_may_end_the_job(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		for (unsigned threads = 1; threads <= 2; threads++) {
			size_t wrong = shapes[i].ranges / 2;
			struct bmap_error err;
			struct bed bed;

			bed_shape(&bed, &shapes[i], LEFT_OUT);
			bed.bad_ends_it = true;
			bed.image[bmap_range_begin(&bed.map, wrong)] ^= 1;
			bed_open(&bed, threads, LEAST_RING);
			bed_start(&bed, threads);
			assert_true(thread_start(&bed.producer, "producer", produce, &bed, &err));
			while (!job_failed(bed.job, &err))
				usleep(100);
			ring_stop(bed.ring);
			pthread_join(bed.producer, NULL);
			bed_join(&bed);
			assert_string_equal(err.text, "that was bad");
			assert_int_equal(err.offset_bytes, bmap_range_begin(&bed.map, wrong));
			assert_int_equal(bed.counts.ranges_bad, 1);
			assert_false(bed.ended);
			bed_close(&bed);
			bed_free(&bed);
		}
}

static void a_range_without_a_checksum_is_passed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		for (unsigned threads = 1; threads <= 2; threads++) {
			size_t without = 0;
			struct bed bed;

			bed_shape(&bed, &shapes[i], threads == 1 ? IN_THE_RING : LEFT_OUT);
			bed.map.has_digest = calloc(1, bed.map.range_count / 8 + 1);
			for (size_t r = 0; r < bed.map.range_count; r++) {
				if (r % 3 == 1)
					bed.map.has_digest[r / 8] |= (uint8_t)(1 << r % 8);
				else
					without++;
			}
			bed_run(&bed, threads, LEAST_RING);
			assert_true(bed.ended);
			assert_int_equal(bed.counts.ranges_without_checksum, without);
			assert_int_equal(bed.counts.ranges_checked, shapes[i].ranges - without);
			assert_int_equal(bed.counts.ranges_bad, 0);
			bed_close(&bed);
			bed_free(&bed);
		}
}

static void data_that_end_before_the_last_range_are_not_its_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		for (unsigned threads = 1; threads <= 3; threads++) {
			struct bed bed;

			bed_shape(&bed, &shapes[i], IN_THE_RING);
			bed.produced_bytes--; /* the last range ends where the image does */
			bed_run(&bed, threads, LEAST_RING);
			assert_false(bed.ended);
			assert_int_equal(bed.counts.ranges_checked, shapes[i].ranges - 1);
			assert_int_equal(bed.counts.ranges_bad, 0);
			bed_close(&bed);
			bed_free(&bed);
		}
}

static void a_stop_at_any_moment_ends_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(shapes); i++)
		for (long us = 0; us < 3000; us = us * 3 + 50) {
			struct bmap_error err;
			struct bed bed;

			bed_shape(&bed, &shapes[i], IN_THE_RING);
			bed_open(&bed, 2, LEAST_RING);
			bed_start(&bed, 2);
			assert_true(thread_start(&bed.producer, "producer", produce, &bed, &err));
			usleep((useconds_t)us);
			ring_stop(bed.ring);
			pthread_join(bed.producer, NULL);
			bed_join(&bed);
			assert_int_equal(bed.counts.ranges_bad, 0);
			bed_close(&bed);
			bed_free(&bed);
		}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_range_is_checked_whatever_fits_in_the_ring),
		cmocka_unit_test(a_bad_checksum_is_found_in_either_lane),
		cmocka_unit_test(a_bad_checksum_may_end_the_job),
		cmocka_unit_test(a_range_without_a_checksum_is_passed),
		cmocka_unit_test(data_that_end_before_the_last_range_are_not_its_end),
		cmocka_unit_test(a_stop_at_any_moment_ends_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
