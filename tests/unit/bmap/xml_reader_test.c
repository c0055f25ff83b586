/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "digest/digest.h"

#include <bmap/map.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What all accepted-*.bmap without a line of their own hold. */
static const struct bmap_range usual_ranges[] = { { 0, 2 }, { 5, 5 }, { 9, 40 }, { 100, 171 } };

#define NONE BMAP_DIGEST_NONE
#define SHA1 BMAP_DIGEST_SHA1
#define SHA256 BMAP_DIGEST_SHA256

static const struct accepted {
	const char *file;
	unsigned major, minor;
	enum bmap_digest digest;
	unsigned has; /* bit per range: it has a checksum */
	size_t range_count; /* 0: usual_ranges */
	uint64_t mapped_bytes; /* 0: of usual_ranges */
} accepted[] = {
	{ "1.0", 1, 0, NONE, 0 },
	{ "1.1", 1, 1, NONE, 0 },
	{ "1.2", 1, 2, NONE, 0 },
	{ "1.2-sha1", 1, 2, SHA1, 15 },
	{ "1.3-sha1", 1, 3, SHA1, 15 },
	{ "1.3-no-range-checksums", 1, 3, SHA1, 0 },
	{ "1.4-md5", 1, 4, BMAP_DIGEST_MD5, 15 },
	{ "1.4-sha1", 1, 4, SHA1, 15 },
	{ "1.4-sha224", 1, 4, BMAP_DIGEST_SHA224, 15 },
	{ "1.4-sha256", 1, 4, SHA256, 15 },
	{ "1.4-sha384", 1, 4, BMAP_DIGEST_SHA384, 15 },
	{ "1.4-sha512", 1, 4, BMAP_DIGEST_SHA512, 15 },
	{ "2.0-md5", 2, 0, BMAP_DIGEST_MD5, 15 },
	{ "2.0-sha1", 2, 0, SHA1, 15 },
	{ "2.0-sha224", 2, 0, BMAP_DIGEST_SHA224, 15 },
	{ "2.0-sha256", 2, 0, SHA256, 15 },
	{ "2.0-sha384", 2, 0, BMAP_DIGEST_SHA384, 15 },
	{ "2.0-sha512", 2, 0, BMAP_DIGEST_SHA512, 15 },
	{ "2.0-no-range-checksums", 2, 0, SHA256, 0 },
	{ "2.7-later-minor", 2, 7, SHA256, 15 },
	{ "mixed-first-without", 2, 0, SHA256, 4 },
	{ "mixed-first-with", 2, 0, SHA256, 5 },
	{ "crlf-bom-quotes", 2, 0, SHA256, 1, 1, 4096 },
	{ "other-order", 2, 0, SHA256, 15 },
	{ "comments-inside", 2, 0, SHA256, 0 },
	{ "own-digits-in-a-comment-before", 2, 0, SHA256, 0, 1, 4096 },
	{ "upper-case-digits", 2, 0, SHA256, 15 },
	{ "latin1", 2, 0, SHA256, 0, 1, 4096 },
	{ "touching-ranges", 2, 0, SHA256, 15, 4, 107 * 4096 + 700 },
	{ "no-ranges", 2, 0, SHA256, 0, SIZE_MAX, 0 },
	{ "one-byte", 2, 0, SHA256, 1, 1, 1 },
	{ "largest-image", 2, 0, SHA256, 1, 1, 4095 },
};

/* A phrase of the message that says what is wrong. */
static const struct refused {
	const char *file, *phrase;
} refused[] = {
	{ "BlockSize-2-64", "<BlockSize> must hold one number below 2^64" },
	{ "BlockSize-empty", "<BlockSize> must hold one number below 2^64" },
	{ "BlockSize-hex", "<BlockSize> must hold one number below 2^64" },
	{ "BlockSize-huge", "make 1 blocks" },
	{ "BlockSize-long", "the text of <BlockSize> is too long" },
	{ "BlockSize-negative", "<BlockSize> must hold one number below 2^64" },
	{ "BlockSize-plus", "<BlockSize> must hold one number below 2^64" },
	{ "BlockSize-point", "<BlockSize> must hold one number below 2^64" },
	{ "BlockSize-two", "<BlockSize> must hold one number below 2^64" },
	{ "BlockSize-words", "<BlockSize> must hold one number below 2^64" },
	{ "BlockSize-zero", "BlockSize is 0" },
	{ "BlocksCount-2-64", "<BlocksCount> must hold one number" },
	{ "BlocksCount-too-large", "make 172 blocks" },
	{ "BlocksCount-too-small", "make 172 blocks" },
	{ "ImageSize-2-63", "which no image can have" },
	{ "ImageSize-negative", "<ImageSize> must hold one number" },
	{ "ImageSize-zero", "which no image can have" },
	{ "MappedBlocksCount-1.2", "but the ranges have 108 blocks" },
	{ "MappedBlocksCount-too-large", "but the ranges have 108 blocks" },
	{ "MappedBlocksCount-too-small", "but the ranges have 108 blocks" },
	{ "attribute-twice", "line 2: not well-formed XML" },
	{ "attribute-unquoted", "line 2: not well-formed XML" },
	{ "bad-utf8", "not proper UTF-8" },
	{ "billion-laughs", "DOCTYPE bmap" },
	{ "checksum-type-empty", "is not supported, only md5" },
	{ "checksum-type-none", "is not supported, only md5" },
	{ "checksum-type-unknown", "is not supported, only md5" },
	{ "control-character", "not well-formed XML" },
	{ "deep-nesting", "nested more than 32 deep" },
	{ "doctype-inside", "line 3: not well-formed XML" },
	{ "doctype-server", "DOCTYPE bmap" },
	{ "element-in-a-number", "<b> where only text may stand" },
	{ "empty", "it is empty" },
	{ "encoding-unknown", "encoding" },
	{ "entity-file", "DOCTYPE bmap" },
	{ "entity-undeclared", "line 10: not well-formed XML" },
	{ "html", "DOCTYPE html" },
	{ "huge-attribute", "a tag of more than 4096 bytes" },
	{ "huge-tag-open-quote", "a tag of more than 4096 bytes" },
	{ "image-ext4", "an ext file system image" },
	{ "image-gpt", "looks like a disk image (GPT)" },
	{ "image-gz", "gzip data" },
	{ "image-mbr", "looks like a disk image (MBR)" },
	{ "image-zeros", "binary data" },
	{ "json", "does not begin like an XML file" },
	{ "many-attributes", "a tag of more than 4096 bytes" },
	{ "missing-BlockMap", "<BlockMap> is missing" },
	{ "missing-BlockSize", "<BlockSize> is missing" },
	{ "missing-BlocksCount", "<BlocksCount> is missing" },
	{ "missing-BmapFileChecksum", "<BmapFileChecksum> is missing" },
	{ "missing-BmapFileSHA1", "<BmapFileSHA1> is missing" },
	{ "missing-ChecksumType", "<ChecksumType> is missing" },
	{ "missing-ImageSize", "<ImageSize> is missing" },
	{ "missing-MappedBlocksCount-1.0", "<MappedBlocksCount> is missing" },
	{ "missing-MappedBlocksCount", "<MappedBlocksCount> is missing" },
	{ "namespace", "in a namespace" },
	{ "nul-behind", "binary data" },
	{ "nul-far-behind", "NUL bytes" },
	{ "other-root", "its root element is <map>, not <bmap>" },
	{ "own-checksum-as-references", "must stand there as plain text" },
	{ "own-checksum-empty", "it must be 64 hexadecimal digits" },
	{ "own-checksum-in-two-pieces", "must stand there as plain text" },
	{ "own-checksum-no-digits", "it must be 64 hexadecimal digits" },
	{ "own-checksum-too-short", "it must be 64 hexadecimal digits" },
	{ "prefix-unknown", "Namespace prefix x" },
	{ "range-at-2-64", "lies beyond the image" },
	{ "range-backwards", "range 40-9 ends before it begins" },
	{ "range-beyond", "range 100-172 lies beyond the image" },
	{ "range-checksum-empty", "is not a checksum in hexadecimal" },
	{ "range-checksum-long", "has 66 digits, not 64" },
	{ "range-checksum-no-hex", "is not a checksum in hexadecimal" },
	{ "range-checksum-odd", "is not a checksum in hexadecimal" },
	{ "range-checksum-of-sha1", "has 40 digits, not 64" },
	{ "range-checksum-other-length-later", "has 64 digits, not 40" },
	{ "range-checksum-short", "has 62 digits, not 64" },
	{ "range-checksum-type-behind", "line 1: the range's checksum is not a sha256" },
	{ "range-checksum-very-long", "is not a checksum in hexadecimal" },
	{ "range-empty-tag", "must hold \"FIRST-LAST\"" },
	{ "range-empty", "must hold \"FIRST-LAST\"" },
	{ "range-escape", "not \"??31m?\"" },
	{ "range-long-text", "the text of <Range> is too long" },
	{ "range-minus", "must hold \"FIRST-LAST\"" },
	{ "range-open", "must hold \"FIRST-LAST\"" },
	{ "range-out-of-order", "range 0-2 overlaps the one before it or is out of order" },
	{ "range-over-2-64", "must hold \"FIRST-LAST\"" },
	{ "range-overlap", "range 5-6 overlaps" },
	{ "range-same-twice", "range 5-5 overlaps" },
	{ "range-three", "must hold \"FIRST-LAST\"" },
	{ "range-with-element", "<i> where only text" },
	{ "range-words", "must hold \"FIRST-LAST\"" },
	{ "second-root", "Extra content" },
	{ "text-behind", "Extra content" },
	{ "text", "does not begin like an XML file" },
	{ "truncated-at-end-tag", "the file ends in the middle: it is truncated" },
	{ "truncated-in-range", "the file ends in the middle: it is truncated" },
	{ "truncated-in-tag", "the file ends in the middle: it is truncated" },
	{ "twice-BlockMap", "a second <" },
	{ "twice-BmapFileChecksum", "a second <" },
	{ "twice-ImageSize", "a second <" },
	{ "utf16-no-bom", "binary data" },
	{ "utf16", "UTF-16" },
	{ "version-0.9", "bmap version 0.9 is not supported" },
	{ "version-3.0", "bmap version 3.0 is not supported" },
	{ "version-4294967298.0", "is not the version of a bmap" },
	{ "version-missing", "no version attribute" },
	{ "version-negative", "is not the version of a bmap" },
	{ "version-only-major", "is not the version of a bmap" },
	{ "version-word", "is not the version of a bmap" },
	{ "white-space", "it has no element" },
	{ "wrong-nesting", "tag mismatch" },
	{ "wrong-own-checksum-1.3", "checksum mismatch: the bmap file is corrupt" },
	{ "wrong-own-checksum-no-range-checksums", "checksum mismatch: the bmap file is corrupt" },
	{ "wrong-own-checksum", "checksum mismatch: the bmap file is corrupt" },
};

/* The file at the end of a page with nothing readable behind it. */
struct guarded {
	char *map, *text;
	size_t map_len, len;
};

static FILE *open_asset(const char *kind, const char *file)
{
	const char *folder = getenv("TEST_ASSETS");
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s-%s.bmap", folder ? folder : "tests/assets", kind, file);
	f = fopen(path, "rb");
	if (!f)
		fail_msg("%s cannot be opened", path);
	return f;
}

static struct guarded guarded_new(size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (len + page) / page * page;
	struct guarded g = { .map_len = whole + page, .len = len };

	g.map = mmap(NULL, g.map_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(g.map, MAP_FAILED);
	assert_int_equal(mprotect(g.map + whole, page, PROT_NONE), 0);
	g.text = g.map + whole - len;
	return g;
}

static struct guarded load(const char *kind, const char *file)
{
	FILE *f = open_asset(kind, file);
	struct guarded g;

	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	g = guarded_new((size_t)ftell(f));
	rewind(f);
	assert_int_equal(fread(g.text, 1, g.len, f), g.len);
	fclose(f);
	return g;
}

static void guarded_free(struct guarded *g)
{
	munmap(g->map, g->map_len);
}

static void check_digest(const struct bmap_map *map, size_t i, bool has)
{
	const uint8_t *digest = bmap_range_digest(map, i);
	uint8_t expected[BMAP_DIGEST_MAX_BYTES];
	char text[32];

	if (!has) {
		assert_null(digest);
		return;
	}
	assert_non_null(digest);
	/* As make_bmaps.py made it; "crlf-bom-quotes" has the second one for its only range. */
	snprintf(text, sizeof(text), "range %zu",
		 map->range_count == 1 && map->ranges[0].first_block == 5 ? 1 : i);
	assert_true(digest_of(map->digest, text, strlen(text), expected, NULL));
	assert_memory_equal(digest, expected, map->digest_bytes);
}

static void every_version_and_spelling_is_read(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
		const struct accepted *a = &accepted[i];
		struct guarded g = load("accepted", a->file);
		struct bmap_map *map;
		struct bmap_error err = { 0 };

		if (!bmap_map_parse(&map, g.text, g.len, a->file, &err))
			fail_msg("%s", err.text);
		assert_int_equal(map->version_major, a->major);
		assert_int_equal(map->version_minor, a->minor);
		assert_int_equal(map->digest, a->digest);
		assert_int_equal(map->digest_bytes, digest_length(a->digest));
		if (!a->range_count) {
			assert_int_equal(map->image_size_bytes, 171 * 4096 + 700);
			assert_int_equal(map->blocks_count, 172);
			assert_int_equal(map->mapped_blocks, 108);
			assert_int_equal(map->range_count, ARRAY_LEN(usual_ranges));
			assert_memory_equal(map->ranges, usual_ranges, sizeof(usual_ranges));
			assert_int_equal(bmap_mapped_bytes(map), 107 * 4096 + 700);
		} else {
			assert_int_equal(map->range_count,
					 a->range_count == SIZE_MAX ? 0 : a->range_count);
			assert_int_equal(bmap_mapped_bytes(map), a->mapped_bytes);
		}
		assert_int_equal(map->block_size_bytes, 4096);
		assert_true(a->has || !map->digests);
		for (size_t range = 0; range < map->range_count; range++)
			check_digest(map, range, a->has >> range & 1);
		bmap_map_free(map);
		guarded_free(&g);
	}
}

static void every_broken_map_is_refused_and_the_error_says_why(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		const struct refused *r = &refused[i];
		struct guarded g = load("refused", r->file);
		struct bmap_map *map = (struct bmap_map *)&g;
		struct bmap_error err = { 0 };

		if (bmap_map_parse(&map, g.text, g.len, "some/name.bmap", &err))
			fail_msg("%s was accepted", r->file);
		assert_null(map);
		assert_int_equal(err.code, BMAP_ERR_MAP);
		if (strncmp(err.text, "some/name.bmap", 14) != 0 || !strstr(err.text, r->phrase))
			fail_msg("%s: the error is: %s", r->file, err.text);
		for (const char *p = err.text; *p; p++)
			assert_in_range(*p, 0x20, 0x7e);
		/* Without an error object, too. */
		assert_false(bmap_map_parse(&map, g.text, g.len, "x", NULL));
		guarded_free(&g);
	}
}

/* A file that was added to the folder but to no table would be tested by nobody. */
static void every_asset_is_in_a_table(void **state)
{
	const char *folder = getenv("TEST_ASSETS");
	DIR *dir = opendir(folder ? folder : "tests/assets");
	struct dirent *entry;
	size_t have[2] = { 0, 0 };

	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		have[0] += !strncmp(entry->d_name, "accepted-", 9);
		have[1] += !strncmp(entry->d_name, "refused-", 8) &&
			   strstr(entry->d_name, ".bmap") != NULL;
	}
	closedir(dir);
	assert_int_equal(have[0], ARRAY_LEN(accepted));
	assert_int_equal(have[1], ARRAY_LEN(refused));
}

/* Cut after any number of bytes, and with any one byte changed, a map with its own checksum is
 * refused: nothing may be flashed by a damaged map. */
static void no_damaged_map_is_taken(void **state)
{
	struct guarded g = load("accepted", "2.0-sha1");
	struct bmap_map *map;

	(void)state;
	/* Not the last byte, which is the newline behind </bmap>. */
	for (size_t len = 0; len < g.len - 1; len++) {
		struct guarded cut = guarded_new(len);

		memcpy(cut.text, g.text, len);
		assert_false(bmap_map_parse(&map, cut.text, len, "x", NULL));
		guarded_free(&cut);
	}
	for (size_t i = 0; i < g.len; i++) {
		static const char changes[] = { 1, 0x20, '<' ^ '0', (char)0x80 };

		for (size_t c = 0; c < ARRAY_LEN(changes); c++) {
			char was = g.text[i];
			bool digit;

			g.text[i] ^= changes[c];
			/* The case of the own checksum's digits says nothing. */
			digit = changes[c] == 0x20 && was >= 'a' && was <= 'f';
			if (bmap_map_parse(&map, g.text, g.len, "x", NULL)) {
				if (!digit)
					fail_msg("byte %zu changed by %#x", i, changes[c]);
				bmap_map_free(map);
			}
			g.text[i] = was;
		}
	}
	guarded_free(&g);
}

/* More text than one piece that the parser is given, in all alignments of tags to pieces. */
static void many_ranges_are_read_over_the_borders_of_pieces(void **state)
{
	enum { COUNT = 3000 };
	char *text = malloc(1 << 20);

	(void)state;
	assert_non_null(text);
	for (int pad = 0; pad < 40; pad++) {
		int len = sprintf(text,
				  "<bmap version='1.0'>%*s<ImageSize>%d</ImageSize><BlockSize>1"
				  "</BlockSize><BlocksCount>%d</BlocksCount><MappedBlocksCount>%d"
				  "</MappedBlocksCount><BlockMap>",
				  pad, "", 3 * COUNT, 3 * COUNT, 2 * COUNT);
		struct bmap_map *map;
		struct bmap_error err = { 0 };

		for (int i = 0; i < COUNT; i++)
			len += sprintf(text + len, "<Range><!-- %d --> %d - %d </Range>\n", i,
				       3 * i, 3 * i + 1);
		len += sprintf(text + len, "</BlockMap></bmap>");
		if (!bmap_map_parse(&map, text, (size_t)len, "x", &err))
			fail_msg("%s", err.text);
		assert_int_equal(map->range_count, COUNT);
		for (uint64_t i = 0; i < COUNT; i++) {
			assert_int_equal(map->ranges[i].first_block, 3 * i);
			assert_int_equal(map->ranges[i].last_block, 3 * i + 1);
		}
		bmap_map_free(map);
	}
	free(text);
}

/* Each would keep the XML parser busy for minutes, or make it hold megabytes. */
static void what_only_keeps_the_parser_busy_is_refused_early(void **state)
{
	static const struct {
		const char *begin, *format, *phrase; /* format is repeated with a number */
		int count;
	} cases[] = {
		{ "", "<a%d/>", "more than 100000 elements", 1000 * 1000 },
		{ "", "<a a%d=''/>", "more than 100000 elements", 1000 * 1000 },
		{ "", "<?a%d?>", "more than 100000 elements", 1000 * 1000 },
		{ "", "<a xmlns:a='%d'/>", "more than 100000 elements", 1000 * 1000 },
		{ "<BlockMap>", "<Range a%1$d=''>%1$d</Range>", "more than 100000 elements",
		  500 * 1000 },
		{ "<!--", "%d", "longer than the XML parser allows", 3 * 1000 * 1000 },
		{ "<?a ", "%d", "longer than the XML parser allows", 3 * 1000 * 1000 },
		{ "", "<!-- %d -->", "the file ends in the middle", 1000 * 1000 },
	};
	size_t room = 32u * MIB;
	char *text = malloc(room);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = (size_t)sprintf(text, "<bmap version='1.0'>%s", cases[i].begin);
		struct bmap_error err = { 0 };
		struct bmap_map *map;

		for (int n = 0; n < cases[i].count; n++) {
			assert_true(len + 100 < room);
			len += (size_t)sprintf(text + len, cases[i].format, n);
		}
		assert_false(bmap_map_parse(&map, text, len, "x", &err));
		if (!strstr(err.text, cases[i].phrase))
			fail_msg("case %zu: %s", i, err.text);
	}
	free(text);
}

/* Old versions may have an attribute that means nothing to us, in every range. */
static void an_unknown_attribute_in_every_range_does_no_harm(void **state)
{
	enum { COUNT = 150 * 1000 };
	char *text = malloc(64 * COUNT + 1024);
	struct bmap_error err = { 0 };
	struct bmap_map *map;
	int len;

	(void)state;
	assert_non_null(text);
	len = sprintf(text,
		      "<bmap version='1.0'><ImageSize>%1$d</ImageSize><BlockSize>1</BlockSize>"
		      "<BlocksCount>%1$d</BlocksCount><MappedBlocksCount>%1$d</MappedBlocksCount>"
		      "<BlockMap>",
		      COUNT);
	for (int i = 0; i < COUNT; i++)
		len += sprintf(text + len, "<Range chksum='00'>%d</Range>\n", i);
	len += sprintf(text + len, "</BlockMap></bmap>");
	if (!bmap_map_parse(&map, text, (size_t)len, "x", &err))
		fail_msg("%s", err.text);
	assert_int_equal(map->range_count, COUNT);
	assert_null(map->digests);
	bmap_map_free(map);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_version_and_spelling_is_read),
		cmocka_unit_test(every_broken_map_is_refused_and_the_error_says_why),
		cmocka_unit_test(every_asset_is_in_a_table),
		cmocka_unit_test(no_damaged_map_is_taken),
		cmocka_unit_test(many_ranges_are_read_over_the_borders_of_pieces),
		cmocka_unit_test(what_only_keeps_the_parser_busy_is_refused_early),
		cmocka_unit_test(an_unknown_attribute_in_every_range_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
