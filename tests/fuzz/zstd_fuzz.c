/* SPDX-License-Identifier: MIT */
#include "decode_fuzz.h"

/* Enough for the largest block. */
#define FUZZ_BLOCKS                                                                                \
	.ring_bytes = 384 * KIB, .history_max_bytes = 128 * KIB, .room_max_bytes = 160 * KIB,      \
	.input_max_bytes = 160 * KIB, .memory_bytes = 16 * MIB, .stop_bytes = MIB

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct decode_feed feeds[] = {
		{ FUZZ_BLOCKS },
		{ FUZZ_BLOCKS, .input = FEED_RANDOM, .room = FEED_RANDOM, .skip_checksums = true },
		{ FUZZ_BLOCKS, .input = FEED_RANDOM, .units = true },
		/* no room for a block: the streaming call */
		{ FUZZ_FEED, .room_max_bytes = 1, .input = FEED_RANDOM, .room = FEED_RANDOM },
	};

	fuzz_decode(&zstd_decoder, data, len, feeds, ARRAY_LEN(feeds));
	return 0;
}
