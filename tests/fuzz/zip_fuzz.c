/* SPDX-License-Identifier: MIT */
#include "decode_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const struct decode_feed feeds[] = {
		{ FUZZ_FEED, .room_max_bytes = 64 * KIB },
		{ FUZZ_FEED, .room_max_bytes = 1, .input = FEED_RANDOM, .room = FEED_RANDOM },
		{ FUZZ_FEED, .room_max_bytes = 64 * KIB, .member = "b" },
	};

	/* The third takes another file: the first two are compared. */
	fuzz_decode(&zip_decoder, data, len, feeds, 2);
	fuzz_decode(&zip_decoder, data, len, feeds + 2, 1);
	return 0;
}
