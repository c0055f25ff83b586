/* SPDX-License-Identifier: MIT */
/* The sum stage on its own, behind a producer that writes over what was released at once. */
#include "unit_test.h"

#include "base/checked.h"
#include "digest/digest.h"
#include "pipeline/sum_stage.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ThreadSanitizer does not see races between the two addresses of a double mapping. */
#ifdef __SANITIZE_THREAD__
#define MAPPING RING_SINGLE
#else
#define MAPPING RING_DOUBLE
#endif

struct bed {
	uint8_t *image;
	uint64_t image_bytes;
	struct image_plan plan;
	struct ring *ring;
	struct segments *segments;
	bool holes_left_out;
	bool stops_half_way;
};

static void bed_init(struct bed *bed, uint64_t image_bytes, const struct bmap_map *map)
{
	*bed = (struct bed){ .image_bytes = image_bytes,
			     .plan = { .map = map, .image_size_bytes = image_bytes } };
	bed->image = malloc(image_bytes + 1);
	assert_non_null(bed->image);
	for (uint64_t i = 0; i < image_bytes; i++)
		bed->image[i] = (uint8_t)((i * 31) ^ (i >> 11) ^ (i >> 19));
}

static bool produce_span(struct bed *bed, uint64_t *position, uint64_t offset, uint64_t end)
{
	unsigned seed = 5;

	*position = align_up(*position, SEGMENT_ALIGN_BYTES);
	segments_append(bed->segments, (struct segment){ *position, offset }, NULL);
	while (offset < end) {
		uint64_t n = min_u64(end - offset, 1 + (uint64_t)rand_r(&seed) % 150000);

		n = min_u64(n, ring_size(bed->ring) - *position % ring_size(bed->ring));
		if (!ring_wait_room(bed->ring, *position + n))
			return false;
		memcpy(ring_at(bed->ring, *position), bed->image + offset, n);
		*position += n;
		offset += n;
		ring_publish(bed->ring, *position);
	}
	return true;
}

static void *produce(void *arg)
{
	struct bed *bed = arg;
	uint64_t position = 0, end = bed->image_bytes;

	if (bed->stops_half_way)
		end /= 2;
	if (!bed->holes_left_out)
		produce_span(bed, &position, 0, end);
	for (size_t i = 0; bed->holes_left_out && i < plan_range_count(&bed->plan); i++)
		produce_span(bed, &position, plan_range_begin(&bed->plan, i),
			     plan_range_end(&bed->plan, i));
	if (bed->stops_half_way)
		ring_stop(bed->ring);
	else
		ring_finish(bed->ring);
	return NULL;
}

/* Returns the stage, joined. */
static struct sum_stage *bed_run(struct bed *bed, bool only_without_digest)
{
	struct job_state *job = job_state_new(NULL, NULL);
	struct sum_stage_config config = { .segments = segments_new(NULL),
					   .plan = &bed->plan,
					   .only_without_digest = only_without_digest,
					   .job = job };
	struct sum_stage *stage;
	pthread_t producer;

	config.ring = bed->ring = ring_new(RING_ALIGN_BYTES, 1, MAPPING, NULL, NULL);
	bed->segments = config.segments;
	assert_non_null(bed->ring);
	stage = sum_stage_start(&config, NULL);
	assert_non_null(stage);
	assert_int_equal(pthread_create(&producer, NULL, produce, bed), 0);
	pthread_join(producer, NULL);
	sum_stage_join(stage);
	assert_false(job_failed(job, NULL));
	ring_free(bed->ring);
	segments_free(config.segments);
	job_state_free(job);
	return stage;
}

/* Adds up to what piece number i is to be. */
static void expect_piece(const struct bed *bed, const struct bmap_map *sums, size_t i,
			 uint64_t begin, uint64_t end)
{
	uint8_t want[8];

	assert_true(i < sums->range_count);
	assert_int_equal(bmap_range_begin(sums, i), begin);
	assert_int_equal(bmap_range_end(sums, i), end);
	assert_true(digest_of(DIGEST_XXH3, bed->image + begin, end - begin, want, NULL));
	assert_memory_equal(bmap_range_digest(sums, i), want, sizeof(want));
}

/* Every range that is summed, cut at every MiB. */
static void expect_sums(const struct bed *bed, const struct bmap_map *sums, bool with_digest_too)
{
	uint64_t bytes = 0;
	size_t n = 0;

	for (size_t i = 0; i < plan_range_count(&bed->plan); i++) {
		uint64_t at = plan_range_begin(&bed->plan, i);
		uint64_t end = min_u64(plan_range_end(&bed->plan, i), bed->image_bytes);

		if (!with_digest_too && bmap_range_digest(bed->plan.map, i) &&
		    end - at <= SUM_LONG_RANGE_BYTES)
			continue;
		while (at < end) {
			uint64_t next = min_u64(end, align_down(at, MIB) + MIB);

			expect_piece(bed, sums, n++, at, next);
			bytes += next - at;
			at = next;
		}
	}
	assert_int_equal(sums->range_count, n);
	assert_int_equal(bmap_mapped_bytes(sums), bytes);
}

static void an_image_without_a_map_is_cut_at_every_mib(void **state)
{
	static const uint64_t sizes[] = { 9 * MIB + 77, 2 * MIB, MIB - 1, 1, 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		for (int unknown = 0; unknown < 2; unknown++) {
			struct sum_stage *stage;
			struct bed bed;

			bed_init(&bed, sizes[i], NULL);
			if (unknown)
				bed.plan.image_size_bytes = SIZE_UNKNOWN;
			stage = bed_run(&bed, false);
			assert_true(sum_stage_ended(stage));
			expect_sums(&bed, sum_stage_map(stage), true);
			sum_stage_free(stage);
			free(bed.image);
		}
}

/* Ranges of 1 to 700 blocks, a third of them without a checksum. */
static void make_map(struct bmap_map *map, uint64_t image_bytes, uint64_t block)
{
	uint64_t blocks = div_round_up(image_bytes, block), at = 0;
	unsigned seed = 3;

	*map = (struct bmap_map){ .image_size_bytes = image_bytes,
				  .block_size_bytes = block,
				  .blocks_count = blocks,
				  .digest = BMAP_DIGEST_SHA256,
				  .digest_bytes = 32 };
	map->ranges = calloc(blocks, sizeof(*map->ranges));
	map->digests = calloc(blocks, 32);
	map->has_digest = calloc(blocks, 1);
	while (at < blocks) {
		uint64_t len = min_u64(blocks - at, 1 + (uint64_t)rand_r(&seed) % 700);

		if (rand_r(&seed) % 3)
			map->has_digest[map->range_count / 8] |=
				(uint8_t)(1 << map->range_count % 8);
		map->ranges[map->range_count++] = (struct bmap_range){ at, at + len - 1 };
		at += len + (uint64_t)rand_r(&seed) % 3;
	}
}

static void ranges_are_cut_too_and_those_with_a_checksum_may_be_left_out(void **state)
{
	static const uint64_t block_sizes[] = { 512, 4096, 65536 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(block_sizes); i++)
		for (int n = 0; n < 4; n++) {
			struct sum_stage *stage;
			struct bmap_map map;
			struct bed bed;

			make_map(&map, 7 * MIB + 1000, block_sizes[i]);
			bed_init(&bed, map.image_size_bytes, &map);
			bed.holes_left_out = n % 2 && block_sizes[i] >= SEGMENT_ALIGN_BYTES;
			stage = bed_run(&bed, n / 2);
			assert_true(sum_stage_ended(stage));
			expect_sums(&bed, sum_stage_map(stage), n / 2 == 0);
			sum_stage_free(stage);
			free(bed.image);
			free(map.ranges);
			free(map.digests);
			free(map.has_digest);
		}
}

static void a_long_range_is_summed_although_it_has_a_checksum(void **state)
{
	static struct bmap_range ranges[] = { { 0, 63 }, { 65, 129 }, { 131, 131 } };
	static uint8_t digests[ARRAY_LEN(ranges) * 32];
	struct bmap_map map = { .image_size_bytes = 132 * MIB,
				.block_size_bytes = MIB,
				.blocks_count = 132,
				.digest = BMAP_DIGEST_SHA256,
				.digest_bytes = 32,
				.range_count = ARRAY_LEN(ranges),
				.ranges = ranges,
				.digests = digests };
	struct sum_stage *stage;
	struct bed bed;

	(void)state;
	assert_true(sum_stage_is_needed(NULL, false));
	assert_true(sum_stage_is_needed(&map, false));
	assert_true(sum_stage_is_needed(&map, true));
	bed_init(&bed, map.image_size_bytes, &map);
	bed.holes_left_out = true;
	stage = bed_run(&bed, true);
	assert_true(sum_stage_ended(stage));
	expect_sums(&bed, sum_stage_map(stage), false);
	assert_int_equal(sum_stage_map(stage)->range_count, 65);
	sum_stage_free(stage);
	free(bed.image);
	ranges[1].last_block = 128; /* 64 MiB: not long */
	assert_false(sum_stage_is_needed(&map, true));
}

static void a_stage_that_was_stopped_has_not_ended(void **state)
{
	struct sum_stage *stage;
	struct bed bed;

	(void)state;
	bed_init(&bed, 3 * MIB, NULL);
	bed.stops_half_way = true;
	stage = bed_run(&bed, false);
	assert_false(sum_stage_ended(stage));
	sum_stage_free(stage);
	free(bed.image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_image_without_a_map_is_cut_at_every_mib),
		cmocka_unit_test(ranges_are_cut_too_and_those_with_a_checksum_may_be_left_out),
		cmocka_unit_test(a_long_range_is_summed_although_it_has_a_checksum),
		cmocka_unit_test(a_stage_that_was_stopped_has_not_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
