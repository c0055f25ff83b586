/* SPDX-License-Identifier: MIT */
#include "job/extents.h"
#include "base/checked.h"
#include "base/cleanup.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIEMAP_EXTENTS 512u /* one answer: 28 KiB */
#define MAX_BLOCK_BYTES (64u * MIB) /* no file system has larger ones */
#define DEFAULT_BLOCK_BYTES 4096u

typedef bool (*extents_fn)(struct extents *out, int fd, const char *name, uint64_t size_bytes,
			   struct bmap_error *err);

static uint64_t block_size_of(int fd);
static bool try_way(extents_fn way, struct extents *out, int fd, const char *name,
		    uint64_t size_bytes, struct bmap_error *err);

bool extents_read(struct extents *out, int fd, const char *name, uint64_t size_bytes,
		  uint64_t block_bytes, const struct bmap_log *log, struct bmap_error *err)
{
	struct bmap_error why = { 0 };

	*out = (struct extents){ .block_size_bytes =
					 block_bytes ? block_bytes : block_size_of(fd) };
	if (try_way(extents_by_fiemap, out, fd, name, size_bytes, &why))
		return true;
	if (why.code == BMAP_ERR_UNSUPPORTED &&
	    try_way(extents_by_seek, out, fd, name, size_bytes, &why))
		return true;
	if (why.code == BMAP_ERR_UNSUPPORTED) {
		log_warning(log,
			    "%s: this file system does not say where holes are: the whole file is "
			    "taken as mapped",
			    name);
		if (extents_add(out, name, 0, size_bytes, size_bytes, &why))
			return true;
	}
	extents_free(out);
	if (err)
		*err = why;
	return false;
}

static bool try_way(extents_fn way, struct extents *out, int fd, const char *name,
		    uint64_t size_bytes, struct bmap_error *err)
{
	out->count = 0;
	out->mapped_blocks = 0;
	return way(out, fd, name, size_bytes, err);
}

void extents_free(struct extents *extents)
{
	free(extents->ranges);
	*extents = (struct extents){ 0 };
}

static uint64_t block_size_of(int fd)
{
	struct stat st;
	int size = 0;

	if (!ioctl(fd, FIGETBSZ, &size) && size > 0 && (unsigned)size <= MAX_BLOCK_BYTES)
		return (uint64_t)size;
	if (!fstat(fd, &st) && st.st_blksize > 0 && (uint64_t)st.st_blksize <= MAX_BLOCK_BYTES)
		return (uint64_t)st.st_blksize;
	return DEFAULT_BLOCK_BYTES;
}

static bool grow(struct extents *extents)
{
	size_t capacity = extents->capacity ? extents->capacity * 2 : 256;
	struct bmap_range *ranges =
		reallocarray(extents->ranges, capacity, sizeof(*extents->ranges));

	if (!ranges)
		return false;
	extents->ranges = ranges;
	extents->capacity = capacity;
	return true;
}

bool extents_add(struct extents *extents, const char *name, uint64_t begin, uint64_t end,
		 uint64_t size_bytes, struct bmap_error *err)
{
	struct bmap_range *last = extents->count ? &extents->ranges[extents->count - 1] : NULL;
	uint64_t block = extents->block_size_bytes, first, final;

	if (begin >= end)
		return bmap_error_set(err, BMAP_ERR_IO,
				      "%s: the file system reports an empty extent at offset "
				      "%" PRIu64 ": run fsck on it",
				      name, begin);
	if (begin >= size_bytes)
		return true;
	first = begin / block;
	final = (min_u64(end, size_bytes) - 1) / block;
	if (last && first < last->first_block)
		return bmap_error_set(err, BMAP_ERR_IO,
				      "%s: the file system reports extents that do not rise, at "
				      "offset %" PRIu64 ": run fsck on it",
				      name, begin);
	if (last && first <= last->last_block + 1) {
		if (final > last->last_block) {
			extents->mapped_blocks += final - last->last_block;
			last->last_block = final;
		}
		return true;
	}
	if (extents->count == extents->capacity && !grow(extents))
		return bmap_error_memory(err, name);
	extents->ranges[extents->count++] =
		(struct bmap_range){ .first_block = first, .last_block = final };
	extents->mapped_blocks += final - first + 1;
	return true;
}

/* Errors with which a file system says that it has no such call: fiemap.rst, lseek(2). */
static bool is_unsupported(int errnum)
{
	return errnum == ENOTTY || errnum == EOPNOTSUPP || errnum == EBADR || errnum == EINVAL ||
	       errnum == ENOSYS;
}

/* Adds one answer; *position moves behind it. *last: there is nothing more. */
static bool take_answer(struct extents *out, const struct fiemap *answer, const char *name,
			uint64_t size_bytes, uint64_t *position, bool *last, struct bmap_error *err)
{
	uint64_t before = *position;

	for (uint32_t i = 0; i < answer->fm_mapped_extents; i++) {
		const struct fiemap_extent *extent = &answer->fm_extents[i];
		uint64_t end;

		if (!checked_add(extent->fe_logical, extent->fe_length, &end))
			end = UINT64_MAX;
		if (!extents_add(out, name, extent->fe_logical, end, size_bytes, err))
			return false;
		*position = max_u64(*position, end);
		if (extent->fe_flags & FIEMAP_EXTENT_LAST)
			*last = true;
	}
	if (*position >= size_bytes || !answer->fm_mapped_extents)
		*last = true;
	if (!*last && *position == before) /* would ask the same for ever */
		return bmap_error_set(err, BMAP_ERR_IO,
				      "%s: the file system repeats its answer (FIEMAP) at offset "
				      "%" PRIu64,
				      name, before);
	return true;
}

bool extents_by_fiemap(struct extents *out, int fd, const char *name, uint64_t size_bytes,
		       struct bmap_error *err)
{
	CLEANUP_FREE struct fiemap *answer =
		calloc(1, sizeof(*answer) + FIEMAP_EXTENTS * sizeof(struct fiemap_extent));
	uint64_t position = 0;
	bool last = false;

	if (!answer)
		return bmap_error_memory(err, name);
	while (!last) {
		answer->fm_start = position;
		answer->fm_length = size_bytes - position;
		/* Data that has no place on the disk yet is written first: what waits for it in
		 * the page cache would be missing. */
		answer->fm_flags = FIEMAP_FLAG_SYNC;
		answer->fm_extent_count = FIEMAP_EXTENTS;
		answer->fm_mapped_extents = 0;
		if (ioctl(fd, FS_IOC_FIEMAP, answer)) {
			if (errno == EINTR)
				continue;
			if (position == 0 && is_unsupported(errno))
				return bmap_error_set(err, BMAP_ERR_UNSUPPORTED, "%s: no FIEMAP",
						      name);
			return bmap_error_errno(err, "%s: cannot read the extents (FIEMAP)", name);
		}
		if (answer->fm_mapped_extents > FIEMAP_EXTENTS)
			return bmap_error_set(err, BMAP_ERR_IO,
					      "%s: the file system's answer is broken (FIEMAP)",
					      name);
		if (!take_answer(out, answer, name, size_bytes, &position, &last, err))
			return false;
	}
	return true;
}

bool extents_by_seek(struct extents *out, int fd, const char *name, uint64_t size_bytes,
		     struct bmap_error *err)
{
	uint64_t position = 0;

	while (position < size_bytes) {
		off_t data = lseek(fd, (off_t)position, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			return true; /* no data up to the end */
		if (data < 0 && position == 0 && is_unsupported(errno))
			return bmap_error_set(err, BMAP_ERR_UNSUPPORTED, "%s: no SEEK_DATA", name);
		hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		if (hole < 0 && errno == ENXIO) /* got shorter: whoever reads it will notice */
			return true;
		if (hole < 0)
			return bmap_error_errno(err, "%s: cannot look for holes at offset %" PRIu64,
						name, position);
		if ((uint64_t)data < position || hole <= data)
			return bmap_error_set(err, BMAP_ERR_IO,
					      "%s: the file system's answer at offset %" PRIu64
					      " is broken (SEEK_DATA)",
					      name, position);
		if (!extents_add(out, name, (uint64_t)data, (uint64_t)hole, size_bytes, err))
			return false;
		position = (uint64_t)hole;
	}
	return true;
}
