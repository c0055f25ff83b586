/* SPDX-License-Identifier: MIT */
#include "job/read_back.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "job/range_loop.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SECTOR_BYTES 512u /* what the kernel's messages count in */
#define HEAD_STEP_BYTES (64u * KIB)

/* One run of the range loop. */
struct comparison {
	const struct read_back *back;
	const struct bmap_map *map;
	uint64_t before_bytes; /* compared by the run before */
	uint64_t told_bytes;
	pthread_mutex_t lock; /* bad */
	struct read_back_bad *bad;
};

static uint64_t size_of(const struct target *target)
{
	struct stat st;

	if (target->has_size)
		return target->size_bytes;
	return fstat(target->fd, &st) ? UINT64_MAX : (uint64_t)st.st_size;
}

/* What was flushed can be dropped. */
static void drop_cache(const struct read_back *back)
{
	if (!back->target.direct)
		posix_fadvise(back->target.fd, 0, 0, POSIX_FADV_DONTNEED);
}

static bool cannot_read(const struct read_back *back, int errnum, uint64_t offset,
			struct bmap_error *err)
{
	bmap_error_errnum(err, errnum,
			  "%s: read back: cannot read at offset %" PRIu64 " (sector %" PRIu64 ")",
			  back->target.name, offset, offset / SECTOR_BYTES);
	err->has_offset = true;
	err->offset_bytes = offset;
	return false;
}

/* --- the body --- */

static bool is_before(const struct bmap_map *map, size_t range, const struct read_back_bad *bad)
{
	return !bad->found || bmap_range_begin(map, range) < bmap_range_begin(bad->map, bad->range);
}

static void on_range(void *arg, size_t range, const uint8_t *digest)
{
	struct comparison *comparison = arg;
	const struct bmap_map *map = comparison->map;

	if (!memcmp(digest, bmap_range_digest(map, range), map->digest_bytes))
		return;
	pthread_mutex_lock(&comparison->lock);
	if (is_before(map, range, comparison->bad))
		*comparison->bad = (struct read_back_bad){ true, map, range };
	pthread_mutex_unlock(&comparison->lock);
}

/* Called in intervals: only what moves is a sign of life. */
static void on_progress(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
	struct comparison *comparison = arg;
	const struct read_back *back = comparison->back;

	(void)total_bytes;
	if (done_bytes != comparison->told_bytes)
		back->progress(back->arg, comparison->before_bytes + done_bytes);
	comparison->told_bytes = done_bytes;
}

/* The loop's text, told as what it means here: of several targets the name says whose it is. */
static void say_where(const struct read_back *back, struct bmap_error *err)
{
	const char *name = back->target.name;
	struct bmap_error told = *err;

	if (err->code == BMAP_ERR_IO && err->has_offset)
		cannot_read(back, err->errnum, err->offset_bytes, err);
	else if (strncmp(err->text, name, strlen(name)) != 0)
		snprintf(err->text, sizeof(err->text), "%.300s: read back: %.*s", name,
			 (int)sizeof(err->text) - 320, told.text);
}

static bool compare(const struct read_back *back, const struct bmap_map *map, uint64_t *done_bytes,
		    struct read_back_bad *bad, struct bmap_error *err)
{
	struct comparison comparison = {
		.back = back, .map = map, .before_bytes = *done_bytes, .bad = bad
	};
	const struct range_loop loop = {
		.fd = back->target.fd,
		.name = back->target.name,
		.is_device = back->target.direct,
		.buffered = !back->target.direct,
		.size_bytes = size_of(&back->target),
		.overlay = back->head,
		.overlay_bytes = back->head_bytes,
		.map = map,
		.only_with_digest = true,
		.longest_bytes = map == back->checked ? back->longest_bytes : 0,
		.workers = back->workers,
		.queue_depth = back->queue_depth,
		.memory_bytes = back->memory_bytes,
		.log = back->log,
		.stop = back->stop,
		.on_range = on_range,
		.progress = on_progress,
		.arg = &comparison,
	};
	uint64_t bytes = 0;
	bool good;

	pthread_mutex_init(&comparison.lock, NULL);
	good = range_loop_run(&loop, &bytes, err);
	pthread_mutex_destroy(&comparison.lock);
	*done_bytes += bytes;
	return good;
}

bool read_back_body(const struct read_back *back, struct read_back_bad *bad, struct bmap_error *err)
{
	const struct bmap_map *maps[] = { back->checked, back->sums };
	struct read_back_bad found = { 0 };
	uint64_t done_bytes = 0;

	*bad = found;
	drop_cache(back);
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		if (maps[i] && !compare(back, maps[i], &done_bytes, &found, err)) {
			say_where(back, err);
			return false;
		}
	*bad = found;
	return true;
}

/* --- the head --- */

bool read_back_bytes(const struct read_back *back, uint64_t offset_bytes, uint8_t *data, size_t len,
		     struct bmap_error *err)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(back->target.fd, data + done, len - done,
				  (off_t)(offset_bytes + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return cannot_read(back, errno, offset_bytes + done, err);
		/* The end, or a file's last piece: what is not aligned cannot go on from there. */
		if (!n || n % READ_BACK_ALIGN_BYTES)
			return true;
		done += (size_t)n;
	}
	return true;
}

/* The first mapped byte of [begin, begin + len) that differs, or UINT64_MAX. */
static uint64_t compare_head(const struct read_back *back, const uint8_t *data, uint64_t begin,
			     size_t len)
{
	uint64_t end = min_u64(begin + len, back->head_bytes);

	for (size_t i = 0; i < plan_range_count(&back->plan); i++) {
		uint64_t at = max_u64(begin, plan_range_begin(&back->plan, i));
		uint64_t stop = min_u64(end, plan_range_end(&back->plan, i));

		if (plan_range_begin(&back->plan, i) >= end)
			break;
		for (; at < stop; at++)
			if (data[at - begin] != back->head[at])
				return at;
	}
	return UINT64_MAX;
}

static bool is_mapped(const struct read_back *back, uint64_t begin, uint64_t end)
{
	for (size_t i = 0; i < plan_range_count(&back->plan); i++)
		if (plan_range_end(&back->plan, i) > begin)
			return plan_range_begin(&back->plan, i) < end;
	return false;
}

bool read_back_head(const struct read_back *back, uint64_t *bad_byte, struct bmap_error *err)
{
	CLEANUP_FREE void *memory = NULL;

	*bad_byte = UINT64_MAX;
	if (posix_memalign(&memory, READ_BACK_ALIGN_BYTES, HEAD_STEP_BYTES))
		return bmap_error_memory(err, back->target.name);
	drop_cache(back);
	for (uint64_t at = 0; at < back->head_bytes && *bad_byte == UINT64_MAX;
	     at += HEAD_STEP_BYTES) {
		if (!is_mapped(back, at, at + HEAD_STEP_BYTES))
			continue;
		if (!read_back_bytes(back, at, memory, HEAD_STEP_BYTES, err))
			return false;
		*bad_byte = compare_head(back, memory, at, HEAD_STEP_BYTES);
	}
	return true;
}

/* --- the error --- */

/* "blocks 3-7 (byte offset ..., ... bytes)" of the range that holds them; else the bytes. */
static void where_text(const struct read_back *back, uint64_t begin, uint64_t end, char *text,
		       size_t room)
{
	const struct bmap_map *map = back->plan.map;

	for (size_t i = 0; map && i < map->range_count; i++) {
		uint64_t from = bmap_range_begin(map, i), to = bmap_range_end(map, i);

		if (begin < from || begin >= to)
			continue;
		snprintf(text, room,
			 "blocks %" PRIu64 "-%" PRIu64 " (byte offset %" PRIu64 ", %" PRIu64
			 " bytes)",
			 map->ranges[i].first_block, map->ranges[i].last_block, from, to - from);
		return;
	}
	snprintf(text, room, "bytes %" PRIu64 "-%" PRIu64, begin, end - 1);
}

void read_back_error(const struct read_back *back, uint64_t begin, uint64_t end, uint64_t bad_byte,
		     const char *why_not_known, struct bmap_error *err)
{
	const char *name = back->target.name;
	char where[160];

	where_text(back, begin, end, where, sizeof(where));
	if (bad_byte != UINT64_MAX)
		bmap_error_set(err, BMAP_ERR_IO,
			       "%s: read back: byte %" PRIu64 " (sector %" PRIu64
			       ") differs from what was written, in %s: the medium is bad, or "
			       "smaller than it says: replace it",
			       name, bad_byte, bad_byte / SECTOR_BYTES, where);
	else
		bmap_error_set(err, BMAP_ERR_IO,
			       "%s: read back: %s differ from what was written; which byte is the "
			       "first is not known: %s: the medium is bad, or smaller than it "
			       "says: replace it",
			       name, where, why_not_known);
	err->has_offset = true;
	err->offset_bytes = bad_byte != UINT64_MAX ? bad_byte : begin;
}
