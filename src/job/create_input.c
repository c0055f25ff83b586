/* SPDX-License-Identifier: MIT */
#include "base/cleanup.h"
#include "fs/used_blocks.h"
#include "job/create_internal.h"
#include "job/image_file.h"
#include "job/stream_format.h"

#include <bmap/device.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

static bool file_open(struct create_input *input, const struct bmap_create_options *options,
		      struct bmap_error *err);
static bool device_open(struct create_input *input, const struct bmap_create_options *options,
			struct bmap_error *err);

/* What can only be read in order. */
static bool check_stream(const struct bmap_create_options *options, struct bmap_error *err)
{
	return !options->used_blocks ||
	       bmap_error_set(
		       err, BMAP_ERR_USAGE,
		       "%s: file systems cannot be looked at in what has to be read in order: "
		       "unpack it to a file first, or use only --detect-zeroes",
		       options->image);
}

bool create_input_open(struct create_input *input, const struct bmap_create_options *options,
		       struct bmap_error *err)
{
	const char *path = options->image;
	struct stat st;

	*input = (struct create_input){ .fd = -1 };
	if (options->zero_run_bytes && (!strcmp(path, "-") || options->member))
		return check_stream(options, err);
	if (stat(path, &st))
		return bmap_error_errno(err, "%s: cannot open the image", path);
	if (S_ISFIFO(st.st_mode) && options->zero_run_bytes)
		return check_stream(options, err);
	if (S_ISBLK(st.st_mode))
		return device_open(input, options, err);
	return file_open(input, options, err);
}

static bool file_open(struct create_input *input, const struct bmap_create_options *options,
		      struct bmap_error *err)
{
	CLEANUP_CLOSE int fd = image_file_open(options->image, &input->before, err);
	bool compressed = false;

	if (fd < 0)
		return false;
	/* Otherwise it is the compressed file itself that is to be mapped. */
	if ((options->zero_run_bytes || options->used_blocks) &&
	    !stream_format_is_packed(fd, options->image, &compressed, err))
		return false;
	if (compressed && !check_stream(options, err))
		return false;
	input->size_bytes = (uint64_t)input->before.st_size;
	if (!compressed)
		input->fd = take_fd(&fd);
	return true;
}

static void warn_if_mounted(const char *path, const struct bmap_log *log)
{
	struct bmap_device device;
	const char *at, *name = path;

	if (!bmap_device_read(path, &device, NULL))
		return;
	at = device.mounted_at;
	for (size_t i = 0; !at && i < device.part_count; i++) {
		at = device.parts[i].mounted_at;
		name = device.parts[i].path;
	}
	if (at)
		log_warning(log,
			    "%s: is mounted at %s: what is written there meanwhile does not fit "
			    "the map: unmount it first, or mount it read-only",
			    name, at);
	bmap_device_free(&device);
}

static bool device_open(struct create_input *input, const struct bmap_create_options *options,
			struct bmap_error *err)
{
	const char *path = options->image;

	if (!options->zero_run_bytes && !options->used_blocks)
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "%s is a block device, and has no holes that a map tells of: "
				      "--used-blocks leaves out what no file system uses, "
				      "--detect-zeroes what is zero",
				      path);
	/* Without O_EXCL: it is only read, so it may be mounted. */
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);

	if (fd < 0)
		return bmap_error_errno(err, "%s: cannot open the device for reading", path);
	if (ioctl(fd, BLKGETSIZE64, &input->size_bytes))
		return bmap_error_errno(err, "%s: cannot read the device's size", path);
	if (!input->size_bytes)
		return bmap_error_set(err, BMAP_ERR_DATA, "%s: there is no medium in it", path);
	warn_if_mounted(path, options->log);
	input->is_device = true;
	input->fd = take_fd(&fd);
	return true;
}

/* Keeps of extents what somebody uses. */
static bool keep_used(const struct create_input *input, const struct bmap_create_options *options,
		      struct extents *extents, struct bmap_error *err)
{
	struct extents used = { .block_size_bytes = extents->block_size_bytes };
	struct used_spans spans;
	char path[64];
	bool good = true;

	/* Without O_DIRECT, which the libraries do not know of. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", input->fd);
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return bmap_error_errno(err, "%s: cannot open it again", options->image);
	if (!used_blocks_find(&spans, fd, options->image, input->size_bytes, options->log, err))
		return false;
	for (size_t i = 0; good && i < spans.count; i++)
		good = extents_add(&used, options->image, spans.items[i].begin_bytes,
				   spans.items[i].end_bytes, input->size_bytes, err);
	used_spans_free(&spans);
	good = good && create_keep(extents, &used, options->image, input->size_bytes, err);
	extents_free(&used);
	return good;
}

static bool all_extents(const struct create_input *input, const struct bmap_create_options *options,
			struct extents *extents, struct bmap_error *err)
{
	const char *path = options->image;
	uint64_t size = input->size_bytes, block = options->block_size_bytes;

	if (!input->is_device)
		return extents_read(extents, input->fd, path, size, block, options->log, err);
	*extents = (struct extents){ .block_size_bytes = block ? block : CREATE_BLOCK_BYTES };
	return extents_add(extents, path, 0, size, size, err);
}

bool create_input_extents(const struct create_input *input,
			  const struct bmap_create_options *options, struct extents *extents,
			  struct bmap_error *err)
{
	if (!all_extents(input, options, extents, err))
		return false;
	if (!options->used_blocks || keep_used(input, options, extents, err))
		return true;
	extents_free(extents);
	return false;
}
