/* SPDX-License-Identifier: MIT */
#include "decode/decoder_internal.h"
#include "decode/gzip_provider.h"
#include "unit_test.h"

#include <string.h>

static void formats_are_known_by_their_first_bytes(void **state)
{
	static const struct {
		const char *head;
		size_t len;
		const char *format; /* NULL: raw */
	} heads[] = {
		{ "", 0, NULL },
		{ "\0\0\0\0\0\0\0\0", 8, NULL },
		{ "\x1F\x8B\x08\0", 4, "gzip" },
		{ "\x1F\x8B\x07\0", 4, NULL }, /* no method that gzip ever had */
		{ "\x1F\x8B", 2, NULL },
		{ "\x28\xB5\x2F\xFD\x04", 5, "zstd" },
		{ "\x28\xB5\x2F\xFD", 4, "zstd" },
		{ "\x28\xB5\x2F", 3, NULL },
		{ "\x25\xB5\x2F\xFD", 4, "zstd" }, /* legacy: to be refused by name */
		{ "\x50\x2A\x4D\x18\x02\0\0\0ab\x28\xB5\x2F\xFD", 14, "zstd" },
		{ "\x5F\x2A\x4D\x18\xFF\xFF\xFF\xFF\0\0", 10, "zstd" }, /* as far as seen */
		{ "\xFD"
		  "7zXZ\0\0\x04",
		  8, "xz" },
#if HAVE_LZ4
		{ "\x04\x22\x4D\x18\x64", 5, "lz4" },
		{ "\x04\x22\x4D\x18\xFF\xFF\xFF", 7, "lz4" }, /* to be refused by name */
		{ "\x02\x21\x4C\x18", 4, "lz4" }, /* legacy */
		{ "\x50\x2A\x4D\x18\x02\0\0\0ab\x04\x22\x4D\x18", 14, "lz4" },
#endif
		{ "\x04\x22\x4D", 3, NULL },
#if HAVE_LZOP
		{ "\x89LZO\0\r\n\x1A\n", 9, "lzop" },
#endif
		{ "\x89LZO\0\r\n\x1A", 8, NULL },
		{ "\x89LZO\0\n\n\x1A\n", 9, NULL }, /* went through a text transfer */
#if HAVE_BZIP2
		{ "BZh9", 4, "bzip2" },
		{ "BZh91AY&SY", 10, "bzip2" },
		{ "BZh9\x17\x72\x45\x38\x50\x90", 10, "bzip2" }, /* no content */
#endif
		{ "BZh0", 4, NULL },
		{ "BZh9 is text", 12, NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		const struct decoder_ops *ops =
			decoder_detect((const uint8_t *)heads[i].head, heads[i].len);

		if (heads[i].format)
			assert_string_equal(ops ? ops->name : "raw", heads[i].format);
		else
			assert_null(ops);
	}
}

static void formats_are_known_by_the_longest_suffix_of_a_name(void **state)
{
	static const struct {
		const char *name, *format;
	} names[] = {
		{ "disk.img.gz", "gzip" },
		{ "disk.img.GZ", "gzip" },
		{ "disk.gzip", "gzip" },
		{ "disk.tgz", "gzip" },
		{ "disk.tar.gz", "gzip" },
		{ "disk.txz", "xz" },
		{ "disk.tzst", "zstd" },
		{ "disk.tar", "tar" },
		{ "disk.ZIP", "zip" },
		{ "https://host/dir.xz/disk.img.zst", "zstd" },
		{ "disk.img.xz", "xz" },
#if HAVE_LZ4
		{ "disk.img.lz4", "lz4" },
		{ "disk.tlz4", "lz4" },
#endif
#if HAVE_LZOP
		{ "disk.img.lzo", "lzop" },
#endif
#if HAVE_BZIP2
		{ "disk.img.bz2", "bzip2" },
#endif
		{ "disk.img", NULL },
		{ "disk.xz/disk.img", NULL },
		{ ".gz", NULL },
		{ "dir/.gz", NULL },
		{ "gz", NULL },
		{ "", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct decoder_ops *ops = decoder_for_name(names[i].name);

		if (names[i].format)
			assert_string_equal(ops ? ops->name : "raw", names[i].format);
		else
			assert_null(ops);
	}
}

static void every_format_of_the_table_owes_all_its_slots(void **state)
{
	(void)state;
	for (size_t i = 0; decoder_table[i]; i++) {
		const struct decoder_ops *ops = decoder_table[i];

		assert_true(ops->name && ops->suffixes && ops->probe && ops->plan && ops->open &&
			    ops->step && ops->close);
		/* Units have a size that is known, or one that is not. */
		assert_int_equal(ops->cut != NULL, (ops->unit != NULL) + (ops->begin_unit != NULL));
		assert_true(!ops->begin_unit == !ops->step_unit);
		assert_true(!ops->begin_unit == !ops->unit_wanted);
		assert_true(!ops->begin_unit == !ops->unit_ended);
		assert_true(!ops->begin_unit == !ops->units_end);
		ops->close(NULL);
	}
	assert_string_equal(gzip_provider_name(), HAVE_ISAL ? "ISA-L" : "zlib");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_are_known_by_their_first_bytes),
		cmocka_unit_test(formats_are_known_by_the_longest_suffix_of_a_name),
		cmocka_unit_test(every_format_of_the_table_owes_all_its_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
