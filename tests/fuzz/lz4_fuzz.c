/* SPDX-License-Identifier: MIT */
#include "decode_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct decode_feed feeds[] = {
		{ FUZZ_FEED_IN(256 * KIB), .room_max_bytes = 160 * KIB },
		{ FUZZ_FEED_IN(256 * KIB), .room_max_bytes = 160 * KIB, .input = FEED_RANDOM,
		  .room = FEED_RANDOM, .skip_checksums = true },
		{ FUZZ_FEED_IN(256 * KIB), .room_max_bytes = 160 * KIB, .input = FEED_RANDOM,
		  .units = true, .skip_checksums = true },
		/* no room for a block: in memory of its own */
		{ FUZZ_FEED_IN(256 * KIB), .room_max_bytes = 4096, .input = FEED_RANDOM,
		  .room = FEED_RANDOM },
	};

	fuzz_decode(&lz4_decoder, data, len, feeds, ARRAY_LEN(feeds));
	return 0;
}
