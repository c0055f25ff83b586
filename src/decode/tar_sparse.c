/* SPDX-License-Identifier: MIT */
#include "decode/tar_internal.h"

#include <stdlib.h>
#include <string.h>

/* 16 MiB of them: a file of 4 GiB with every second block of 4 KiB a hole has half as many. */
#define EXTENTS_MAX (1u << 20)
/* GNU's header: 4 entries and their size's field behind; an extension block: 21 entries. */
#define GNU_HEADER_AT 386u
#define GNU_HEADER_COUNT 4u
#define GNU_HEADER_MORE_AT 482u
#define GNU_BLOCK_COUNT 21u
#define GNU_BLOCK_MORE_AT 504u
#define GNU_NUMBER_BYTES 12u

void tar_map_clear(struct tar_map *map)
{
	*map = (struct tar_map){ .extents = map->extents, .room = map->room };
}

void tar_map_free(struct tar_map *map)
{
	free(map->extents);
	*map = (struct tar_map){ 0 };
}

static const char *grow(struct tar_map *map, uint64_t memory_bytes)
{
	size_t room = map->room ? 2 * map->room : 64;
	struct tar_extent *grown;

	if (room > EXTENTS_MAX)
		return "a sparse map of more than a million extents";
	if (room * sizeof(*grown) > memory_bytes)
		return "a sparse map that does not fit the memory limit: raise it with --memory";
	grown = realloc(map->extents, room * sizeof(*grown));
	if (!grown)
		return TAR_NO_MEMORY;
	map->extents = grown;
	map->room = room;
	return NULL;
}

const char *tar_map_add(struct tar_map *map, uint64_t offset, uint64_t len, uint64_t memory_bytes)
{
	uint64_t end;
	const char *reason;

	if (offset < map->end_bytes)
		return "the extents of a sparse map do not rise";
	if (!checked_add(offset, len, &end) || end > INT64_MAX)
		return "an extent of a sparse map ends behind any possible file";
	if (map->count == map->room && (reason = grow(map, memory_bytes)))
		return reason;
	map->extents[map->count++] = (struct tar_extent){ offset, len };
	map->end_bytes = end;
	map->stored_bytes += len; /* at most end */
	return NULL;
}

const char *tar_map_add_number(struct tar_map *map, uint64_t number, uint64_t memory_bytes)
{
	map->half = !map->half;
	if (!map->half)
		return tar_map_add(map, map->half_offset_bytes, number, memory_bytes);
	map->half_offset_bytes = number;
	return NULL;
}

const char *tar_map_check(const struct tar_map *map, uint64_t real_bytes, uint64_t stored_bytes)
{
	if (map->half)
		return "a sparse map ends with an offset without its length";
	if (map->end_bytes > real_bytes)
		return "a sparse map goes on behind the size of its file";
	if (map->stored_bytes != stored_bytes)
		return "a sparse map has more or less data than is stored";
	return NULL;
}

const char *tar_map_add_gnu(struct tar_map *map, const uint8_t *block, bool first, bool *more,
			    uint64_t memory_bytes)
{
	const uint8_t *entry = first ? block + GNU_HEADER_AT : block;
	size_t count = first ? GNU_HEADER_COUNT : GNU_BLOCK_COUNT;

	*more = block[first ? GNU_HEADER_MORE_AT : GNU_BLOCK_MORE_AT];
	for (size_t i = 0; i < count; i++, entry += 2 * (size_t)GNU_NUMBER_BYTES) {
		uint64_t offset, len;
		const char *reason;

		if (!entry[GNU_NUMBER_BYTES]) /* no more are used */
			return NULL;
		if (!tar_number(entry, GNU_NUMBER_BYTES, &offset) ||
		    !tar_number(entry + GNU_NUMBER_BYTES, GNU_NUMBER_BYTES, &len))
			return "an extent of a sparse map is no number";
		reason = tar_map_add(map, offset, len, memory_bytes);
		if (reason)
			return reason;
	}
	return NULL;
}

static const char *number_complete(struct tar_map *map, struct tar_map_text *text,
				   uint64_t memory_bytes)
{
	uint64_t number = text->number;

	if (!text->digits)
		return "a sparse map has an empty line";
	text->digits = 0;
	text->number = 0;
	if (text->counted) {
		text->left--;
		return tar_map_add_number(map, number, memory_bytes);
	}
	if (number > EXTENTS_MAX)
		return "a sparse map of more than a million extents";
	text->counted = true;
	text->left = 2 * number;
	return NULL;
}

const char *tar_map_add_text(struct tar_map *map, struct tar_map_text *text, const uint8_t *block,
			     bool *complete, uint64_t memory_bytes)
{
	for (size_t i = 0; i < TAR_BLOCK_BYTES && !(text->counted && !text->left); i++) {
		const char *reason = NULL;

		if (block[i] == '\n')
			reason = number_complete(map, text, memory_bytes);
		else if (block[i] < '0' || block[i] > '9' || ++text->digits > 18)
			reason = "a sparse map has something else than numbers";
		else
			text->number = text->number * 10 + (uint64_t)(block[i] - '0');
		if (reason)
			return reason;
	}
	*complete = text->counted && !text->left;
	return NULL;
}
