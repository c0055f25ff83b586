/* SPDX-License-Identifier: MIT */
/* decode_feeds.h - what the tests of every format ask: the same image whatever the feed, an error
 * wherever the source is cut or a bit is flipped. */
#ifndef DECODE_FEEDS_H
#define DECODE_FEEDS_H

#include "decode_driver.h"
#include "unit_test.h"

#include <stdlib.h>
#include <string.h>

struct sample { /* a source and its image */
	struct test_bytes source;
	uint8_t *image;
	size_t len;
};

static inline void sample_free(struct sample *s)
{
	test_bytes_free(&s->source);
	free(s->image);
}

static inline void expect_same(const struct decoder_ops *ops, const struct sample *s,
			       const struct decode_feed *feeds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct decode_result r = decode_drive(ops, s->source.data, s->source.len, s->image,
						      s->len, &feeds[i]);

		if (!r.good || !r.same)
			fail_msg("feed %zu: %s", i, r.good ? "other bytes" : r.err.text);
	}
}

/* Of every length but those in ends[] (where a shorter image is whole) it fails, at its end. */
static inline void expect_truncation_fails(const struct decoder_ops *ops, const struct sample *s,
					   const struct decode_feed *feeds, size_t count,
					   const size_t *ends, size_t end_count)
{
	for (size_t len = 0; len < s->source.len; len++) {
		bool whole = false;

		for (size_t i = 0; i < end_count; i++)
			whole |= ends[i] == len;
		for (size_t i = 0; i < count; i++) {
			struct decode_result r =
				decode_drive(ops, s->source.data, len, s->image, s->len, &feeds[i]);

			if (r.good != whole)
				fail_msg("cut at %zu, feed %zu: %s", len, i,
					 r.good ? "good" : r.err.text);
			if (!r.good && r.err.offset_bytes != len)
				fail_msg("cut at %zu, feed %zu: %s", len, i, r.err.text);
		}
	}
}

/* Where every image byte is under a checksum. */
static inline void expect_flips_fail_or_change_nothing(const struct decoder_ops *ops,
						       struct sample *s,
						       const struct decode_feed *feeds,
						       size_t count)
{
	size_t failed = 0;

	for (size_t bit = 0; bit < s->source.len * 8; bit++) {
		s->source.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		for (size_t i = 0; i < count; i++) {
			struct decode_result r = decode_drive(ops, s->source.data, s->source.len,
							      s->image, s->len, &feeds[i]);

			if (r.good && !r.same)
				fail_msg("bit %zu, feed %zu: other bytes", bit, i);
			failed += !r.good;
		}
		s->source.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	assert_true(failed > s->source.len * count * 4); /* most of them count */
}

/* It fails, says so, and where. */
static inline void expect_broken(const struct decoder_ops *ops, const struct test_bytes *source,
				 const struct decode_feed *feeds, size_t count, size_t offset,
				 const char *says)
{
	for (size_t i = 0; i < count; i++) {
		struct decode_result r =
			decode_drive(ops, source->data, source->len, NULL, 0, &feeds[i]);

		if (r.good || !strstr(r.err.text, says) || r.err.offset_bytes != offset)
			fail_msg("feed %zu: not \"%s\" at %zu but: %s", i, says, offset,
				 r.good ? "good" : r.err.text);
	}
}

#endif
