/* SPDX-License-Identifier: MIT */
#include <bmap/map.h>

#include "base/error.h"
#include "digest/digest.h"

#include <inttypes.h>
#include <stdio.h>

#define SHA256_BYTES 32
#define LINE_ROOM (2 * BMAP_DIGEST_MAX_BYTES + 64)

static void add_line(struct hasher *hasher, const char *line, int len)
{
	hasher_update(hasher, line, (size_t)len);
}

static void add_range(struct hasher *hasher, const struct bmap_map *map, size_t i,
		      const uint8_t *digest)
{
	uint64_t begin = bmap_range_begin(map, i);
	char hex[2 * BMAP_DIGEST_MAX_BYTES + 1], line[LINE_ROOM];

	digest_to_hex(digest, map->digest_bytes, hex);
	add_line(hasher, line,
		 snprintf(line, sizeof(line), "%" PRIu64 " %" PRIu64 " %s\n", begin,
			  bmap_range_end(map, i) - begin, hex));
}

bool bmap_map_content_digest(const struct bmap_map *map, char text[BMAP_CONTENT_DIGEST_ROOM],
			     struct bmap_error *err)
{
	struct hasher *hasher = hasher_new(BMAP_DIGEST_SHA256, err);
	uint8_t sum[SHA256_BYTES];
	char line[LINE_ROOM];
	bool all = map->digests != NULL;

	if (!hasher)
		return false;
	hasher_begin(hasher);
	add_line(hasher, line,
		 snprintf(line, sizeof(line), "%" PRIu64 " %s\n", map->image_size_bytes,
			  bmap_digest_name(map->digest)));
	for (size_t i = 0; i < map->range_count && all; i++) {
		const uint8_t *digest = bmap_range_digest(map, i);

		all = digest != NULL;
		if (digest)
			add_range(hasher, map, i, digest);
	}
	hasher_finish(hasher, sum);
	hasher_free(hasher);
	if (!all)
		return bmap_error_set(err, BMAP_ERR_NOT_FOUND,
				      "the bmap has ranges without a checksum: they do not say "
				      "what the image holds");
	digest_to_hex(sum, sizeof(sum), text);
	return true;
}
