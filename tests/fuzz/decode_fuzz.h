/* SPDX-License-Identifier: MIT */
/* decode_fuzz.h - any bytes through a decoder, in several ways. The driver aborts where the decoder
 * breaks its contract; here the ways are held against each other. */
#ifndef DECODE_FUZZ_H
#define DECODE_FUZZ_H

#include "decode/decoder_internal.h"
#include "decode_driver.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Memory so small that each run is short and history wraps. */
#define FUZZ_FEED FUZZ_FEED_IN(64 * KIB)
/* For formats that need more room for a block. */
#define FUZZ_FEED_IN(ring)                                                                         \
	.ring_bytes = (ring), .history_max_bytes = 1, .input_max_bytes = 32 * KIB,                 \
	.memory_bytes = 16 * MIB, .stop_bytes = MIB

static inline void fuzz_decode(const struct decoder_ops *ops, const uint8_t *data, size_t len,
			       const struct decode_feed *feeds, size_t feed_count)
{
	struct decode_result first = { 0 };
	struct decoder_plan plan;
	struct bmap_error err;

	ops->probe(data, len);
	ops->plan(data, len, &plan, &err);
	for (size_t i = 0; i < feed_count; i++) {
		struct decode_result r = decode_drive(ops, data, len, NULL, 0, &feeds[i]);

		if (i == 0)
			first = r;
		/* Once the ring has wrapped, a match from farther back than the window allows may
		 * find other bytes each time. */
		if (!first.good || first.image_bytes > feeds[0].ring_bytes)
			continue;
		if (r.good && r.image_bytes == first.image_bytes &&
		    r.image_hash == first.image_hash)
			continue;
		fprintf(stderr, "feed %zu: %s, %llu bytes; feed 0: good, %llu bytes\n", i,
			r.good ? "good" : r.err.text, (unsigned long long)r.image_bytes,
			(unsigned long long)first.image_bytes);
		abort();
	}
}

#endif
