/* SPDX-License-Identifier: MIT */
#include "job/extents.h"
#include "job/image_file.h"
#include "job/range_loop.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "digest/digest.h"
#include "source/url.h"

#include <bmap/create.h>
#include <inttypes.h>
#include <string.h>

struct create {
	const struct bmap_create_options *options;
	struct bmap_map *map;
};

static struct bmap_map *map_of_extents(struct extents *extents, uint64_t size_bytes,
				       enum bmap_digest digest, struct bmap_error *err);
static bool create_local(const struct bmap_create_options *options, struct bmap_map **out,
			 struct bmap_error *err);
static bool hash_ranges(struct create *create, int fd, struct bmap_error *err);

bool bmap_create(const struct bmap_create_options *options, struct bmap_map **out,
		 struct bmap_error *err)
{
	struct bmap_create_options local = *options;
	CLEANUP_FREE char *path = url_to_local(options->image, err), *shown = NULL;

	*out = NULL;
	if (!path)
		return false;
	local.image = path;
	if (!url_is_remote(path))
		return create_local(&local, out, err);
	shown = url_display(path);
	return bmap_error_set(err, BMAP_ERR_USAGE,
			      "%s: only a file of this machine shows where its holes are: download "
			      "it first, and unpack it with its holes",
			      shown ? shown : "URL");
}

static bool create_local(const struct bmap_create_options *options, struct bmap_map **out,
			 struct bmap_error *err)
{
	const char *path = options->image;
	enum bmap_digest digest = options->digest ? options->digest : BMAP_DIGEST_SHA256;
	struct create create = { .options = options };
	struct extents extents;
	struct stat before;

	CLEANUP_CLOSE int fd = image_file_open(path, &before, err);
	if (fd < 0)
		return false;
	if (!extents_read(&extents, fd, path, (uint64_t)before.st_size, options->log, err))
		return false;
	create.map = map_of_extents(&extents, (uint64_t)before.st_size, digest, err);
	extents_free(&extents);
	if (!create.map)
		return false;
	if (create.map->mapped_blocks == create.map->blocks_count)
		log_warning(options->log,
			    "%s: all %" PRIu64 " blocks are mapped: the image has no holes, so the "
			    "map saves nothing (fallocate --dig-holes makes them)",
			    path, create.map->blocks_count);
	if ((!options->no_checksum && !hash_ranges(&create, fd, err)) ||
	    !image_file_unchanged(fd, path, &before, "its map was made", err)) {
		bmap_map_free(create.map);
		return false;
	}
	*out = create.map;
	return true;
}

/* Takes the ranges out of extents. */
static struct bmap_map *map_of_extents(struct extents *extents, uint64_t size_bytes,
				       enum bmap_digest digest, struct bmap_error *err)
{
	struct bmap_map *map = calloc(1, sizeof(*map));

	if (!map) {
		bmap_error_memory(err, "block map");
		return NULL;
	}
	*map = (struct bmap_map){
		.version_major = 2,
		.image_size_bytes = size_bytes,
		.block_size_bytes = extents->block_size_bytes,
		.blocks_count = div_round_up(size_bytes, extents->block_size_bytes),
		.mapped_blocks = extents->mapped_blocks,
		.digest = digest,
		.digest_bytes = digest_length(digest),
		.range_count = extents->count,
		.ranges = take_ptr(extents->ranges),
	};
	return map;
}

static void take_digest(void *arg, size_t range, const uint8_t *digest)
{
	struct create *create = arg;

	/* From several threads, but no range twice. */
	memcpy(create->map->digests + range * create->map->digest_bytes, digest,
	       create->map->digest_bytes);
}

static void tell_progress(void *arg, uint64_t done_bytes, uint64_t total_bytes)
{
	const struct bmap_create_options *options = ((struct create *)arg)->options;

	options->progress(options->progress_user, done_bytes, total_bytes);
}

static bool hash_ranges(struct create *create, int fd, struct bmap_error *err)
{
	const struct bmap_create_options *options = create->options;
	struct bmap_map *map = create->map;
	struct range_loop loop = {
		.fd = fd,
		.name = options->image,
		.size_bytes = map->image_size_bytes,
		.map = map,
		.workers = options->workers,
		.queue_depth = options->queue_depth,
		.memory_bytes = options->memory_bytes,
		.log = options->log,
		.stop = options->stop,
		.on_range = take_digest,
		.progress = options->progress ? tell_progress : NULL,
		.arg = create,
	};

	if (!map->range_count)
		return true;
	map->digests = calloc(map->range_count, map->digest_bytes);
	if (!map->digests)
		return bmap_error_memory(err, options->image);
	return range_loop_run(&loop, NULL, err);
}
