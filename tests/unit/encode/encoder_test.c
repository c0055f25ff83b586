/* SPDX-License-Identifier: MIT */
#include "unit_test.h"

#include "base/checked.h"
#include "decode/decoder.h"
#include "encode/encoder.h"

#include <stdlib.h>
#include <string.h>

struct buffer {
	uint8_t *bytes;
	size_t len, fail_after; /* the sink fails once it holds more; 0: never */
};

static bool buffer_write(void *user, const uint8_t *data, size_t len, struct bmap_error *err)
{
	struct buffer *b = user;

	if (b->fail_after && b->len + len > b->fail_after)
		return bmap_error_set(err, BMAP_ERR_IO, "the sink is full");
	b->bytes = realloc(b->bytes, b->len + len + 1);
	assert_non_null(b->bytes);
	memcpy(b->bytes + b->len, data, len);
	b->len += len;
	return true;
}

static uint8_t *make_data(size_t len)
{
	uint8_t *data = malloc(len + 1);
	uint32_t x = 1;

	assert_non_null(data);
	for (size_t i = 0; i < len; i++) { /* half of it compresses */
		x = x * 1664525u + 1013904223u;
		data[i] = i / 1000 % 2 ? (uint8_t)(x >> 24) : 'a';
	}
	return data;
}

/* The decoder of the same name must give back what went in. */
static void check_decodes(const struct encoder_ops *ops, const struct buffer *packed,
			  const uint8_t *data, size_t len)
{
	const struct decoder_ops *decoder = decoder_detect(packed->bytes, packed->len);
	const struct decoder_limits limits = { .name = "x",
					       .history_max_bytes = 64 * MIB,
					       .room_max_bytes = 64 * MIB,
					       .input_max_bytes = 64 * MIB,
					       .memory_bytes = 256 * MIB,
					       .check_content = true };
	uint8_t *got = malloc(len + 8 * MIB);
	struct in_span in = { packed->bytes, packed->len, true };
	struct out_span out = { got, len + 8 * MIB };
	struct bmap_error err = { 0 };
	enum decode_status status;
	struct decoder *d;

	assert_non_null(got);
	assert_non_null(decoder);
	assert_string_equal(decoder->name, ops->name);
	assert_ptr_equal(decoder_for_name(ops->suffix), NULL); /* a bare suffix is no name */
	d = decoder->open(&limits, &err);
	assert_non_null(d);
	do {
		status = decoder->step(d, &in, &out, &err);
	} while (status != DECODE_END && status != DECODE_FAILED);
	if (status == DECODE_FAILED)
		fail_msg("%s: %s", ops->name, err.text);
	decoder->close(d);
	assert_int_equal(out.data - got, len);
	assert_memory_equal(got, data, len);
	free(got);
}

static void what_is_packed_unpacks_to_the_same(void **state)
{
	static const size_t lengths[] = { 0, 1, 4096, 100 * 1000, 3 * 1000 * 1000 };

	(void)state;
	for (size_t i = 0; encoder_table[i]; i++) {
		for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
			uint8_t *data = make_data(lengths[l]);
			struct buffer packed = { 0 }, again = { 0 };
			const struct encode_sink sink = { buffer_write, &packed },
						 other = { buffer_write, &again };
			struct bmap_error err = { 0 };

			assert_true(encoder_table[i]->encode(data, lengths[l], &sink, &err));
			assert_true(lengths[l] < 5000 || packed.len < lengths[l] * 2 / 3);
			check_decodes(encoder_table[i], &packed, data, lengths[l]);
			/* And always to the same bytes. */
			assert_true(encoder_table[i]->encode(data, lengths[l], &other, &err));
			assert_int_equal(packed.len, again.len);
			assert_memory_equal(packed.bytes, again.bytes, again.len);
			free(data);
			free(packed.bytes);
			free(again.bytes);
		}
	}
}

static void an_error_of_the_sink_ends_it_and_is_passed_on(void **state)
{
	uint8_t *data = make_data(1000 * 1000);

	(void)state;
	for (size_t i = 0; encoder_table[i]; i++) {
		static const size_t limits[] = { 1, 100 * 1000 };

		for (size_t l = 0; l < ARRAY_LEN(limits); l++) {
			struct buffer packed = { .fail_after = limits[l] };
			const struct encode_sink sink = { buffer_write, &packed };
			struct bmap_error err = { 0 };

			assert_false(encoder_table[i]->encode(data, 1000 * 1000, &sink, &err));
			assert_int_equal(err.code, BMAP_ERR_IO);
			assert_string_equal(err.text, "the sink is full");
			free(packed.bytes);
		}
	}
	free(data);
}

static void the_name_says_the_format(void **state)
{
	static const struct {
		const char *name, *format;
	} cases[] = {
		{ "a.bmap", NULL },       { "a.bmap.gz", "gzip" },
		{ "a.bmap.zst", "zstd" }, { "a.bmap.xz", "xz" },
		{ "A.BMAP.GZ", "gzip" },  { "a.gz.bmap", NULL },
		{ "folder.gz/a", NULL },  { ".gz", NULL },
		{ "gz", NULL },           { "", NULL },
		{ "folder/.xz", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct encoder_ops *ops = encoder_for_name(cases[i].name);

		if (cases[i].format) {
			assert_non_null(ops);
			assert_string_equal(ops->name, cases[i].format);
		} else {
			assert_null(ops);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_packed_unpacks_to_the_same),
		cmocka_unit_test(an_error_of_the_sink_ends_it_and_is_passed_on),
		cmocka_unit_test(the_name_says_the_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
