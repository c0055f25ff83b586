/* SPDX-License-Identifier: MIT */
#include <bmap/map.h>

#include "base/checked.h"
#include "base/error.h"
#include "digest/digest.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES 4096
/* Beside its checksum: tags, two numbers of 20 digits, spaces; 62 + 40 and some reserve. */
#define RANGE_BYTES 128

/* Room is known to be enough before anything is written to it. */
struct text {
	char *bytes;
	size_t len, room;
};

static void put(struct text *text, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put_head(struct text *text, const struct bmap_map *map, enum bmap_digest digest,
		     size_t *own_at);
static void put_ranges(struct text *text, const struct bmap_map *map);

bool bmap_map_format(const struct bmap_map *map, char **out, size_t *len, struct bmap_error *err)
{
	/* Version 2.0 cannot say "none": where ranges have no checksum, the file still has. */
	enum bmap_digest digest = map->digest ? map->digest : BMAP_DIGEST_SHA256;
	char hex[2 * BMAP_DIGEST_MAX_BYTES + 1];
	uint8_t own[BMAP_DIGEST_MAX_BYTES];
	struct text text = { 0 };
	uint64_t room;
	size_t own_at;

	*out = NULL;
	if (!checked_mul(map->range_count, RANGE_BYTES + 2 * BMAP_DIGEST_MAX_BYTES, &room) ||
	    !checked_add(room, HEAD_BYTES, &room) || room > SIZE_MAX)
		return bmap_error_memory(err, "bmap");
	text.room = (size_t)(HEAD_BYTES +
			     map->range_count * (RANGE_BYTES + 2 * digest_length(map->digest)));
	text.bytes = malloc(text.room);
	if (!text.bytes)
		return bmap_error_memory(err, "bmap");
	put_head(&text, map, digest, &own_at);
	put_ranges(&text, map);
	put(&text, "    </BlockMap>\n</bmap>\n");
	if (!digest_of(digest, text.bytes, text.len, own, err)) {
		free(text.bytes);
		return false;
	}
	digest_to_hex(own, digest_length(digest), hex);
	memcpy(text.bytes + own_at, hex, 2 * digest_length(digest));
	*out = text.bytes;
	*len = text.len;
	return true;
}

static void put(struct text *text, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text->bytes + text->len, text->room - text->len, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= text->room - text->len)
		abort(); /* RANGE_BYTES or HEAD_BYTES is wrong */
	text->len += (size_t)n;
}

static void put_size(struct text *text, uint64_t bytes)
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double size = (double)bytes;
	size_t unit = 0;

	for (; size >= 1024 && unit + 1 < ARRAY_LEN(units); unit++)
		size /= 1024;
	put(text, "%.*f %s", unit ? 1 : 0, size, units[unit]);
}

/* own_at: where the digits of the file's own checksum, for now zeros, begin. */
static void put_head(struct text *text, const struct bmap_map *map, enum bmap_digest digest,
		     size_t *own_at)
{
	uint64_t mapped = bmap_mapped_bytes(map);

	put(text,
	    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
	    "<!-- Block map of a disk image: the blocks of the image that hold data. Only\n"
	    "     these need to be written to a device, bmaptool does so. Blocks are counted\n"
	    "     from 0, a range \"3-5\" is the blocks 3, 4 and 5. The checksums are over the\n"
	    "     bytes of a range; the last block ends where the image ends. -->\n"
	    "<bmap version=\"2.0\">\n");
	put(text, "    <!-- The image has ");
	put_size(text, map->image_size_bytes);
	put(text, ", of which ");
	put_size(text, mapped);
	put(text, " (%.1f %%) are mapped. -->\n",
	    map->image_size_bytes ? 100.0 * (double)mapped / (double)map->image_size_bytes : 0.0);
	put(text,
	    "    <ImageSize> %" PRIu64 " </ImageSize>\n"
	    "    <BlockSize> %" PRIu64 " </BlockSize>\n"
	    "    <BlocksCount> %" PRIu64 " </BlocksCount>\n"
	    "    <MappedBlocksCount> %" PRIu64 " </MappedBlocksCount>\n",
	    map->image_size_bytes, map->block_size_bytes, map->blocks_count, map->mapped_blocks);
	put(text, "    <ChecksumType> %s </ChecksumType>\n", bmap_digest_name(digest));
	put(text, "    <!-- Over this whole file, with these digits replaced by as many 0. -->\n"
		  "    <BmapFileChecksum> ");
	*own_at = text->len;
	put(text, "%0*d </BmapFileChecksum>\n    <BlockMap>\n", (int)(2 * digest_length(digest)),
	    0);
}

static void put_ranges(struct text *text, const struct bmap_map *map)
{
	char hex[2 * BMAP_DIGEST_MAX_BYTES + 1];

	for (size_t i = 0; i < map->range_count; i++) {
		const struct bmap_range *range = &map->ranges[i];
		const uint8_t *digest = bmap_range_digest(map, i);

		put(text, "        <Range");
		if (digest) {
			digest_to_hex(digest, map->digest_bytes, hex);
			put(text, " chksum=\"%s\"", hex);
		}
		put(text, "> %" PRIu64, range->first_block);
		if (range->last_block != range->first_block)
			put(text, "-%" PRIu64, range->last_block);
		put(text, " </Range>\n");
	}
}
