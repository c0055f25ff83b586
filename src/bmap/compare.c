/* SPDX-License-Identifier: MIT */
#include "base/checked.h"

#include <bmap/report.h>
#include <string.h>

struct compare {
	const struct bmap_map *older, *newer;
	struct bmap_difference *difference;
	void (*changed)(void *user, enum bmap_change change, uint64_t begin, uint64_t end);
	void *user;
	size_t at; /* first range of the older map that ends behind all that was passed */
	uint64_t gone_from; /* what only the older one maps is told up to here */
};

static void tell(struct compare *c, enum bmap_change change, uint64_t begin, uint64_t end)
{
	c->difference->bytes[change] += end - begin;
	c->difference->ranges[change]++;
	if (change != BMAP_CHANGE_NONE && change != BMAP_CHANGE_GONE)
		c->difference->to_write_bytes += end - begin;
	if (c->changed)
		c->changed(c->user, change, begin, end);
}

/* What the older map has below end, and was not told. */
static void tell_gone(struct compare *c, uint64_t end)
{
	const struct bmap_map *older = c->older;

	for (; c->at < older->range_count; c->at++) {
		uint64_t from = max_u64(bmap_range_begin(older, c->at), c->gone_from);
		uint64_t to = min_u64(bmap_range_end(older, c->at), end);

		if (from < to)
			tell(c, BMAP_CHANGE_GONE, from, to);
		if (bmap_range_end(older, c->at) > end)
			break;
	}
	c->gone_from = max_u64(c->gone_from, end);
}

static bool same_bytes(const struct compare *c, size_t i)
{
	const uint8_t *before = bmap_range_digest(c->older, c->at);
	const uint8_t *now = bmap_range_digest(c->newer, i);

	return c->difference->comparable && before && now &&
	       !memcmp(before, now, c->newer->digest_bytes);
}

/* Of range i of the newer map, which c->at does not end before. */
static enum bmap_change change_of(const struct compare *c, size_t i, uint64_t begin, uint64_t end)
{
	uint64_t old_begin;

	if (c->at == c->older->range_count)
		return BMAP_CHANGE_NEW;
	old_begin = bmap_range_begin(c->older, c->at);
	if (old_begin >= end)
		return BMAP_CHANGE_NEW;
	if (old_begin != begin || bmap_range_end(c->older, c->at) != end)
		return BMAP_CHANGE_BORDERS;
	return same_bytes(c, i) ? BMAP_CHANGE_NONE : BMAP_CHANGE_CONTENT;
}

void bmap_map_compare(const struct bmap_map *older, const struct bmap_map *newer,
		      void (*changed)(void *user, enum bmap_change change, uint64_t begin_bytes,
				      uint64_t end_bytes),
		      void *user, struct bmap_difference *difference)
{
	struct compare c = { .older = older,
			     .newer = newer,
			     .difference = difference,
			     .changed = changed,
			     .user = user };

	*difference = (struct bmap_difference){ .comparable = older->digests && newer->digests &&
							      older->digest == newer->digest };
	for (size_t i = 0; i < newer->range_count; i++) {
		uint64_t begin = bmap_range_begin(newer, i), end = bmap_range_end(newer, i);

		tell_gone(&c, begin);
		while (c.at < older->range_count && bmap_range_end(older, c.at) <= begin)
			c.at++;
		tell(&c, change_of(&c, i, begin, end), begin, end);
		c.gone_from = end;
	}
	tell_gone(&c, UINT64_MAX);
}
