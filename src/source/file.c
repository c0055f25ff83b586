/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "source/source_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct file_source {
	struct source source; /* first: the two are converted into each other */
	uint64_t offset_bytes; /* of the next read; the descriptor's own offset is not used */
};

static ssize_t file_read(struct source *source, void *data, size_t len, struct bmap_error *err);
static bool file_skip(struct source *source, uint64_t len, struct bmap_error *err);
static bool file_read_at(struct source *source, uint64_t offset, void *data, size_t len,
			 struct bmap_error *err);
static void file_close(struct source *source);

static const struct source_ops file_ops = {
	.read = file_read,
	.skip = file_skip,
	.read_at = file_read_at,
	.close = file_close,
};

struct source *file_source_open(int fd, char *name, const struct stat *st, struct bmap_error *err)
{
	struct file_source *file = calloc(1, sizeof(*file));
	uint64_t size_bytes = (uint64_t)st->st_size;

	if (!file) {
		bmap_error_memory(err, name);
		goto fail;
	}
	if (S_ISBLK(st->st_mode) && ioctl(fd, BLKGETSIZE64, &size_bytes)) {
		bmap_error_errno(err, "%s: cannot find out the size of the device", name);
		goto fail;
	}
	posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* a hint: failing is no matter */
	file->source = (struct source){
		.ops = &file_ops,
		.name = name,
		.has_size = true,
		.seekable = true,
		.is_block_device = S_ISBLK(st->st_mode),
		.fd = fd,
		.size_bytes = size_bytes,
	};
	return &file->source;
fail:
	free(file);
	free(name);
	close(fd);
	return NULL;
}

static ssize_t read_some(struct source *source, uint64_t offset, void *data, size_t len,
			 struct bmap_error *err)
{
	ssize_t n;

	do
		n = pread(source->fd, data, len, (off_t)offset);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	bmap_error_errno(err, "%s: cannot read at offset %" PRIu64, source->name, offset);
	if (err) {
		err->has_offset = true;
		err->offset_bytes = offset;
	}
	return -1;
}

static ssize_t file_read(struct source *source, void *data, size_t len, struct bmap_error *err)
{
	struct file_source *file = (struct file_source *)source;
	ssize_t n = read_some(source, file->offset_bytes, data, len, err);

	if (n > 0)
		file->offset_bytes += (uint64_t)n;
	return n;
}

static bool file_read_at(struct source *source, uint64_t offset, void *data, size_t len,
			 struct bmap_error *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n =
			read_some(source, offset + done, (uint8_t *)data + done, len - done, err);

		if (n < 0)
			return false;
		if (n == 0)
			return bmap_error_data(err, offset + done, "%s: ends at offset %" PRIu64,
					       source->name, offset + done);
		done += (size_t)n;
	}
	return true;
}

static bool file_skip(struct source *source, uint64_t len, struct bmap_error *err)
{
	struct file_source *file = (struct file_source *)source;
	uint64_t to;

	/* Past the end must fail here: the next read would give a clean end of the data. */
	if (!checked_add(file->offset_bytes, len, &to) || to > source->size_bytes)
		return bmap_error_data(err, source->size_bytes,
				       "%s: ends at offset %" PRIu64 ", in the middle of its data: "
				       "%" PRIu64 " bytes should follow offset %" PRIu64,
				       source->name, source->size_bytes, len, file->offset_bytes);
	file->offset_bytes = to;
	return true;
}

static void file_close(struct source *source)
{
	close(source->fd);
	free(source);
}
