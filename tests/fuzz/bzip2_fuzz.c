/* SPDX-License-Identifier: MIT */
#include "decode_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct decode_feed feeds[] = {
		{ FUZZ_FEED, .room_max_bytes = 64 * KIB },
		{ FUZZ_FEED, .room_max_bytes = 100, .input = FEED_RANDOM, .room = FEED_RANDOM },
	};

	fuzz_decode(&bzip2_decoder, data, len, feeds, ARRAY_LEN(feeds));
	return 0;
}
