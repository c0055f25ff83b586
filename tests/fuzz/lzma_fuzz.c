/* SPDX-License-Identifier: MIT */
#include "decode_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct decode_feed feeds[] = {
		{ FUZZ_FEED, .room_max_bytes = 16 * KIB },
		{ FUZZ_FEED, .room_max_bytes = 1, .input = FEED_RANDOM, .room = FEED_RANDOM },
	};

	fuzz_decode(&lzma_decoder, data, len, feeds, ARRAY_LEN(feeds));
	return 0;
}
