/* SPDX-License-Identifier: MIT */
#include "digest/zero_split.h"
#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

#include "unit_test.h"

#define BLOCK 512u
#define MAX_PARTS 64u

struct parts {
	struct {
		uint64_t begin, end;
		uint8_t digest[BMAP_DIGEST_MAX_BYTES];
	} items[MAX_PARTS];
	size_t count;
	bool without_digest;
};

static void take_part(void *arg, uint64_t begin, uint64_t end, const uint8_t *digest)
{
	struct parts *parts = arg;

	assert_true(parts->count < MAX_PARTS);
	parts->items[parts->count].begin = begin;
	parts->items[parts->count].end = end;
	if (digest)
		memcpy(parts->items[parts->count].digest, digest, 32);
	else
		parts->without_digest = true;
	parts->count++;
}

/* Gives data to a stretch in pieces of at most piece bytes. */
static void split_all(struct parts *parts, const uint8_t *data, size_t len, uint64_t begin,
		      uint64_t run, size_t piece, bool hash)
{
	struct hasher *hasher = hasher_new(BMAP_DIGEST_SHA256, NULL);
	struct zero_split split = { .block_bytes = BLOCK,
				    .run_bytes = run,
				    .hasher = hash ? hasher : NULL,
				    .on_part = take_part,
				    .arg = parts };
	size_t at = 0;

	*parts = (struct parts){ 0 };
	zero_split_begin(&split, begin);
	while (at < len) {
		size_t end = min_u64(len, at + piece);

		while (at < end) {
			bool is_data;
			size_t n = zero_split_next(&split, data + at, end - at, &is_data);

			assert_in_range(n, 1, end - at);
			if (is_data && hash)
				hasher_update(hasher, data + at, n);
			at += n;
		}
	}
	zero_split_end(&split);
	hasher_free(hasher);
}

/* "x" is a block with data, "." one of zeros, "|" a block whose first byte alone is not zero. */
static size_t make_data(uint8_t *data, const char *blocks)
{
	size_t count = strlen(blocks);

	memset(data, 0, count * BLOCK);
	for (size_t i = 0; i < count; i++) {
		if (blocks[i] == 'x')
			memset(data + i * BLOCK, 'x', BLOCK);
		if (blocks[i] == '|')
			data[i * BLOCK] = 1;
	}
	return count * BLOCK;
}

static void expect_parts(const struct parts *parts, const char *marks, const uint8_t *data,
			 uint64_t begin)
{
	size_t count = 0;

	for (size_t i = 0; marks[i]; i++) {
		size_t first = i;
		uint8_t digest[BMAP_DIGEST_MAX_BYTES];

		if (marks[i] == '.')
			continue;
		while (marks[i + 1] && marks[i + 1] == marks[first])
			i++;
		assert_true(count < parts->count);
		assert_int_equal(parts->items[count].begin, begin + first * BLOCK);
		assert_int_equal(parts->items[count].end, begin + (i + 1) * BLOCK);
		assert_true(digest_of(BMAP_DIGEST_SHA256, data + first * BLOCK,
				      (i + 1 - first) * BLOCK, digest, NULL));
		if (!parts->without_digest)
			assert_memory_equal(parts->items[count].digest, digest, 32);
		count++;
	}
	assert_int_equal(parts->count, count);
}

static void parts_end_at_runs_of_zeros(void **state)
{
	static const struct {
		const char *blocks;
		unsigned run_blocks;
		const char *parts; /* equal letters in a row are one part */
	} cases[] = {
		{ "xxxx", 1, "aaaa" },
		{ "....", 1, "...." },
		{ "x", 1, "a" },
		{ ".", 1, "." },
		{ "x.x", 1, "a.b" },
		{ "x.x", 2, "aaa" }, /* the zeros between are hashed */
		{ "x..x.x", 2, "a..bbb" },
		{ "x.x..x...x", 3, "aaaaaa...b" },
		{ ".x.", 9, ".a." }, /* at begin and end: none of ours */
		{ "...x....", 9, "...a...." },
		{ "||..|", 2, "aa..b" },
		{ "|.|.|", 2, "aaaaa" },
	};
	static const size_t pieces[] = { 1, 7, BLOCK, BLOCK + 1, 3 * BLOCK, 1000000 };
	uint8_t data[16 * BLOCK];
	struct parts parts;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = make_data(data, cases[i].blocks);

		for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
			uint64_t run = (uint64_t)cases[i].run_blocks * BLOCK;

			split_all(&parts, data, len, 64 * BLOCK, run, pieces[k], true);
			expect_parts(&parts, cases[i].parts, data, 64 * BLOCK);
			split_all(&parts, data, len, 0, run, pieces[k], false);
			expect_parts(&parts, cases[i].parts, data, 0);
			assert_true(parts.without_digest || !parts.count);
		}
	}
}

static void a_stretch_may_end_inside_a_block(void **state)
{
	uint8_t data[4 * BLOCK], digest[BMAP_DIGEST_MAX_BYTES];
	struct parts parts;

	(void)state;
	make_data(data, "x..x");
	split_all(&parts, data, 3 * BLOCK + 5, 0, BLOCK, 100, true);
	assert_int_equal(parts.count, 2);
	assert_int_equal(parts.items[1].begin, 3 * BLOCK);
	assert_int_equal(parts.items[1].end, 3 * BLOCK + 5);
	assert_true(digest_of(BMAP_DIGEST_SHA256, data + 3 * BLOCK, 5, digest, NULL));
	assert_memory_equal(parts.items[1].digest, digest, 32);
}

static void zeros_are_hashed_as_if_they_were_there(void **state)
{
	static const size_t lens[] = { 0, 1, 65536, 65537, 200000 };
	uint8_t *zeros = calloc(1, 200000), want[BMAP_DIGEST_MAX_BYTES], got[BMAP_DIGEST_MAX_BYTES];
	struct hasher *hasher = hasher_new(BMAP_DIGEST_SHA1, NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		hasher_begin(hasher);
		hasher_update_zeros(hasher, lens[i]);
		hasher_finish(hasher, got);
		assert_true(digest_of(BMAP_DIGEST_SHA1, zeros, lens[i], want, NULL));
		assert_memory_equal(got, want, 20);
	}
	hasher_free(hasher);
	free(zeros);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_end_at_runs_of_zeros),
		cmocka_unit_test(a_stretch_may_end_inside_a_block),
		cmocka_unit_test(zeros_are_hashed_as_if_they_were_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
