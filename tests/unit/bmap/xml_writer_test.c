/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "digest/digest.h"

#include <bmap/map.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct bmap_range ranges[] = { { 0, 2 }, { 5, 5 }, { 9, 171 } };
static uint8_t digests[3 * 32] = { 0xab, [32] = 0xcd, [64] = 0x01 };

static const struct bmap_map usual = { .version_major = 1,
				       .version_minor = 3,
				       .image_size_bytes = 171 * 4096 + 700,
				       .block_size_bytes = 4096,
				       .blocks_count = 172,
				       .mapped_blocks = 167,
				       .digest = BMAP_DIGEST_SHA256,
				       .digest_bytes = 32,
				       .range_count = ARRAY_LEN(ranges),
				       .ranges = ranges,
				       .digests = digests };

static char *format(const struct bmap_map *map)
{
	struct bmap_error err = { 0 };
	char *text = NULL;
	size_t len = 0;

	if (!bmap_map_format(map, &text, &len, &err))
		fail_msg("%s", err.text);
	assert_int_equal(strlen(text), len);
	return text;
}

static void expect(const char *text, const char *phrase, bool there)
{
	if ((strstr(text, phrase) != NULL) != there)
		fail_msg("\"%s\" is%s in: %s", phrase, there ? " not" : "", text);
}

static void the_elements_are_those_of_version_2_0(void **state)
{
	static const char *const phrases[] = {
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
		"<bmap version=\"2.0\">\n",
		"    <ImageSize> 701116 </ImageSize>\n",
		"    <BlockSize> 4096 </BlockSize>\n",
		"    <BlocksCount> 172 </BlocksCount>\n",
		"    <MappedBlocksCount> 167 </MappedBlocksCount>\n",
		"    <ChecksumType> sha256 </ChecksumType>\n",
		"    <BmapFileChecksum> ",
		"    <BlockMap>\n        <Range chksum=\"ab000000",
		"\"> 0-2 </Range>\n        <Range chksum=\"cd000000",
		"\"> 5 </Range>\n",
		"\"> 9-171 </Range>\n    </BlockMap>\n</bmap>\n",
		"684.7 KiB, of which 664.7 KiB (97.1 %) are mapped",
	};
	char *text = format(&usual);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
		expect(text, phrases[i], true);
	free(text);
}

static void the_files_own_checksum_is_over_zeros_in_its_place(void **state)
{
	static const char element[] = "<BmapFileChecksum> ";
	char *text = format(&usual), *own, said[65], is[65];
	uint8_t sum[32];

	(void)state;
	/* Not strstr(): gcc 12 then warns of a dangling pointer, which there is not. */
	own = memmem(text, strlen(text), element, strlen(element));
	assert_non_null(own);
	own += strlen(element);
	memcpy(said, own, 64);
	said[64] = '\0';
	memset(own, '0', 64);
	assert_true(digest_of(BMAP_DIGEST_SHA256, text, strlen(text), sum, NULL));
	digest_to_hex(sum, 32, is);
	assert_string_equal(is, said);
	free(text);
}

static void ranges_without_checksums_leave_the_attribute_out(void **state)
{
	struct bmap_map map = usual;
	uint8_t has = 2;
	char *text;

	(void)state;
	map.has_digest = &has;
	text = format(&map);
	expect(text, "<Range> 0-2 </Range>", true);
	expect(text, "<Range chksum=\"cd", true);
	expect(text, "<Range> 9-171 </Range>", true);
	free(text);
	map.has_digest = NULL;
	map.digests = NULL;
	text = format(&map);
	expect(text, "chksum", false);
	expect(text, "<ChecksumType> sha256 </ChecksumType>", true);
	free(text);
	map.digest = BMAP_DIGEST_NONE; /* as read from version 1.0 */
	map.digest_bytes = 0;
	text = format(&map);
	expect(text, "chksum", false);
	expect(text, "<ChecksumType> sha256 </ChecksumType>", true);
	free(text);
}

/* The longest that every part can be must fit what was reserved for it. */
static void the_largest_numbers_fit(void **state)
{
	enum { COUNT = 1000 };
	struct bmap_map map = { .image_size_bytes = INT64_MAX,
				.block_size_bytes = 1,
				.blocks_count = INT64_MAX,
				.mapped_blocks = COUNT,
				.digest = BMAP_DIGEST_SHA512,
				.digest_bytes = 64,
				.range_count = COUNT };
	struct bmap_map *again;
	struct bmap_error err = { 0 };
	char *text;

	(void)state;
	map.ranges = calloc(COUNT, sizeof(*map.ranges));
	map.digests = calloc(COUNT, 64);
	assert_true(map.ranges && map.digests);
	map.mapped_blocks = 0;
	for (uint64_t i = 0; i < COUNT; i++) {
		map.ranges[i].first_block = INT64_MAX - 3 * COUNT + 3 * i;
		map.ranges[i].last_block = map.ranges[i].first_block + 1;
		map.mapped_blocks += 2;
	}
	text = format(&map);
	if (!bmap_map_parse(&again, text, strlen(text), "x", &err))
		fail_msg("%s", err.text);
	assert_memory_equal(again->ranges, map.ranges, COUNT * sizeof(*map.ranges));
	bmap_map_free(again);
	free(text);
	free(map.ranges);
	free(map.digests);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_elements_are_those_of_version_2_0),
		cmocka_unit_test(the_files_own_checksum_is_over_zeros_in_its_place),
		cmocka_unit_test(ranges_without_checksums_leave_the_attribute_out),
		cmocka_unit_test(the_largest_numbers_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
