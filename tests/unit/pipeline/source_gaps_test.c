/* SPDX-License-Identifier: MIT */
/* Which parts of a source need not be read: an index of the test's own format, a map, and a source
 * that remembers what was read of it. */
#include "unit_test.h"

#include "base/checked.h"
#include "pipeline/source_gaps.h"

#include <stdlib.h>
#include <string.h>

#define UNIT (256u * 1024u) /* image bytes, if a case does not say otherwise */

struct fake {
	struct source source;
	unsigned reads;
	enum bmap_error_code fails;
};

static bool fake_read_at(struct source *source, uint64_t offset, void *data, size_t len,
			 struct bmap_error *err)
{
	struct fake *fake = (struct fake *)source;

	assert_int_equal(offset + len, source->size_bytes);
	memset(data, 0, len);
	fake->reads++;
	return !fake->fails || bmap_error_set(err, fake->fails, "no");
}

static const struct source_ops fake_ops = { .read_at = fake_read_at };

/* The index is what the test says, whatever the tail. */
static const struct indexed_unit *told;
static size_t told_count, told_need;

static enum index_status tell(const uint8_t *tail, size_t len, uint64_t source_bytes,
			      struct unit_index *index, size_t *need_bytes)
{
	(void)tail;
	(void)source_bytes;
	if (len < told_need) {
		*need_bytes = told_need;
		return INDEX_MORE;
	}
	if (!told_count)
		return INDEX_NONE;
	*index = (struct unit_index){ 12, calloc(told_count, sizeof(*told)), told_count };
	memcpy(index->units, told, told_count * sizeof(*told));
	return INDEX_OK;
}

static const struct decoder_ops fake_format = { .name = "fake", .read_index = tell };

static struct source_gaps find(struct fake *fake, const char *mapped, uint64_t tail_bytes)
{
	struct bmap_range ranges[64];
	struct bmap_map map = { .ranges = ranges, .block_size_bytes = UNIT };
	struct image_plan plan = { .map = &map };
	struct source_gaps_config config = { &fake_format, &plan, true };
	struct source_gaps found;
	struct bmap_error err;
	uint64_t source = 12;

	for (size_t i = 0; i < told_count; i++)
		source += told[i].source_bytes;
	for (size_t i = 0; mapped[i]; i++, map.blocks_count++)
		if (mapped[i] == 'x')
			ranges[map.range_count++] = (struct bmap_range){ i, i };
	map.image_size_bytes = plan.image_size_bytes = map.blocks_count * UNIT;
	fake->source.ops = &fake_ops;
	fake->source.name = (char *)"disk.img";
	fake->source.has_size = true;
	fake->source.size_bytes = source + tail_bytes;
	assert_true(source_gaps_find(&found, &fake->source, &config, &err));
	return found;
}

static void runs_between_the_ranges_are_gaps(void **state)
{
	static const struct indexed_unit units[] = {
		{ MIB, UNIT, 0 }, { MIB, UNIT, 0 }, { 200, UNIT, 0 }, { MIB, UNIT, 0 },
		{ 90, UNIT, 0 },  { MIB, UNIT, 0 }, { 100, 0, 0 },    { 2 * MIB, UNIT, 0 },
	};
	struct fake fake = { .source.seekable = true };
	struct source_gaps found;

	(void)state;
	told = units;
	told_count = ARRAY_LEN(units);
	/* Units 1 and 2, not 4 (little to win), and 5 to 7, of which 6 is no image byte. */
	found = find(&fake, "x--x---", 20);
	assert_int_equal(found.count, 2);
	assert_int_equal(found.gaps[0].source_offset, 12 + MIB);
	assert_int_equal(found.gaps[0].image_offset, UNIT);
	assert_int_equal(found.gaps[0].unit.source_bytes, MIB + 200);
	assert_int_equal(found.gaps[0].unit.image_bytes, 2 * UNIT);
	assert_int_equal(found.gaps[1].source_offset, 12 + 3 * MIB + 200);
	assert_int_equal(found.gaps[1].unit.source_bytes, 3 * MIB + 190);
	source_gaps_free(&found);
	found = find(&fake, "x-xx-x-", 20);
	assert_int_equal(found.count, 2);
	assert_int_equal(found.gaps[1].unit.source_bytes, 2 * MIB + 100);
	source_gaps_free(&found);
}

static void units_that_a_format_wants_one_by_one_are_not_added_up(void **state)
{
	static const struct indexed_unit units[] = {
		{ MIB, UNIT, 5 },
		{ 300, UNIT, 6 },
		{ MIB, UNIT, 7 },
	};
	struct fake fake = { .source.seekable = true };
	struct source_gaps found;

	(void)state;
	told = units;
	told_count = ARRAY_LEN(units);
	found = find(&fake, "--x", 20);
	assert_int_equal(found.count, 2);
	assert_int_equal(found.gaps[1].source_offset, 12 + MIB);
	assert_int_equal(found.gaps[1].image_offset, UNIT);
	assert_int_equal(found.gaps[1].unit.fact, 6);
	source_gaps_free(&found);
}

static void an_index_of_another_image_is_left_alone(void **state)
{
	static const struct indexed_unit units[] = {
		{ MIB, UNIT, 0 },
		{ MIB, 7 * UNIT, 0 },
		{ MIB, UINT64_MAX - 2 * UNIT, 0 },
	};
	struct fake fake = { .source.seekable = true };

	(void)state;
	told = units;
	for (told_count = 1; told_count <= 3; told_count++) {
		struct source_gaps found = find(&fake, "x------", 20);

		assert_int_equal(found.count, 0);
		source_gaps_free(&found);
	}
}

static void the_end_is_read_only_where_that_may_be_of_use(void **state)
{
	static const struct indexed_unit units[] = { { 4 * MIB, UNIT, 0 }, { 4 * MIB, UNIT, 0 } };
	const struct {
		const char *mapped;
		bool seekable, cheap_skip;
		unsigned reads;
	} cases[] = {
		{ "x-", true, false, 1 },  { "x-", false, true, 1 }, { "xx", true, false, 0 },
		{ "x-", false, false, 0 }, { "-x", false, true, 1 },
	};

	(void)state;
	told = units;
	told_count = 2;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fake fake = { .source.seekable = cases[i].seekable,
				     .source.cheap_skip = cases[i].cheap_skip };
		struct source_gaps found = find(&fake, cases[i].mapped, 20);

		assert_int_equal(fake.reads, cases[i].reads);
		assert_int_equal(found.count, cases[i].reads);
		source_gaps_free(&found);
	}
}

static void a_large_index_is_read_again_and_a_failure_is_none(void **state)
{
	static const struct indexed_unit units[] = { { 4 * MIB, UNIT, 0 }, { 4 * MIB, UNIT, 0 } };
	struct fake good = { .source.seekable = true };
	struct fake bad = { .source.seekable = true, .fails = BMAP_ERR_IO };
	struct source_gaps found;

	(void)state;
	told = units;
	told_count = 2;
	told_need = 300000;
	found = find(&good, "x-", 300000);
	assert_int_equal(good.reads, 2);
	assert_int_equal(found.count, 1);
	source_gaps_free(&found);
	found = find(&bad, "x-", 300000);
	assert_int_equal(found.count, 0);
	told_need = 0;
	told_count = 0;
	found = find(&good, "x-", 20 * MIB);
	assert_int_equal(found.count, 0);
}

static void an_interrupt_is_passed_on(void **state)
{
	struct bmap_range range = { 0, 0 };
	struct bmap_map map = { .ranges = &range, .range_count = 1, .block_size_bytes = UNIT };
	struct image_plan plan = { &map, 8 * UNIT };
	struct source_gaps_config config = { &fake_format, &plan, true };
	struct fake fake = { .source = { .ops = &fake_ops,
					 .name = (char *)"disk.img",
					 .has_size = true,
					 .seekable = true,
					 .size_bytes = 8 * MIB },
			     .fails = BMAP_ERR_INTERRUPTED };
	struct source_gaps found;
	struct bmap_error err;

	(void)state;
	map.image_size_bytes = 8 * UNIT;
	map.blocks_count = 8;
	assert_false(source_gaps_find(&found, &fake.source, &config, &err));
	assert_int_equal(err.code, BMAP_ERR_INTERRUPTED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_between_the_ranges_are_gaps),
		cmocka_unit_test(units_that_a_format_wants_one_by_one_are_not_added_up),
		cmocka_unit_test(an_index_of_another_image_is_left_alone),
		cmocka_unit_test(the_end_is_read_only_where_that_may_be_of_use),
		cmocka_unit_test(a_large_index_is_read_again_and_a_failure_is_none),
		cmocka_unit_test(an_interrupt_is_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
