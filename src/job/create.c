/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "base/cleanup.h"
#include "digest/digest.h"
#include "job/create_internal.h"
#include "job/image_file.h"
#include "job/range_loop.h"
#include "job/zero_parts.h"
#include "source/url.h"

#include <inttypes.h>
#include <string.h>

struct create {
	const struct bmap_create_options *options;
	const struct create_input *input;
	struct bmap_map *map;
	struct extents forced;
};

static bool create_local(const struct bmap_create_options *options, struct bmap_map **out,
			 struct bmap_error *err);
static bool create_ranges(const struct bmap_create_options *options,
			  const struct create_input *input, struct bmap_map **out,
			  struct bmap_error *err);
static bool hash_ranges(struct create *create, struct bmap_error *err);
static bool leave_zeros_out(struct create *create, struct bmap_error *err);

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
	if (options->zero_run_bytes && !options->used_blocks)
		return create_stream(&local, out, err);
	shown = url_display(path);
	return bmap_error_set(err, BMAP_ERR_USAGE,
			      "%s: only a file of this machine shows where its holes are: download "
			      "it first, and unpack it with its holes",
			      shown ? shown : "URL");
}

static bool create_local(const struct bmap_create_options *options, struct bmap_map **out,
			 struct bmap_error *err)
{
	struct create_input input;
	bool good;

	if (!create_input_open(&input, options, err))
		return false;
	if (input.fd < 0)
		return create_stream(options, out, err);
	good = create_ranges(options, &input, out, err);
	close(input.fd);
	return good;
}

static bool read_extents(struct create *create, struct bmap_error *err)
{
	const struct bmap_create_options *options = create->options;
	const struct create_input *input = create->input;
	struct extents extents;

	if (!create_input_extents(input, options, &extents, err))
		return false;
	create->forced.block_size_bytes = extents.block_size_bytes;
	if (create_spans(&create->forced, options, options->image, input->size_bytes, err) &&
	    create_add_spans(&extents, &create->forced, options->image, input->size_bytes, err))
		create->map = create_map(&extents, input->size_bytes, options, err);
	extents_free(&extents);
	return create->map;
}

static bool create_ranges(const struct bmap_create_options *options,
			  const struct create_input *input, struct bmap_map **out,
			  struct bmap_error *err)
{
	struct create create = { .options = options, .input = input };
	bool good = read_extents(&create, err);

	if (good && !options->zero_run_bytes)
		create_say_result(create.map, options, options->image);
	if (good && options->zero_run_bytes)
		good = leave_zeros_out(&create, err);
	else if (good && !options->no_checksum)
		good = hash_ranges(&create, err);
	if (good && !input->is_device)
		good = image_file_unchanged(input->fd, options->image, &input->before,
					    "its map was made", err);
	if (good && options->zero_run_bytes)
		create_say_result(create.map, options, options->image);
	extents_free(&create.forced);
	if (good)
		*out = create.map;
	else
		bmap_map_free(create.map);
	return good;
}

void create_say_result(const struct bmap_map *map, const struct bmap_create_options *options,
		       const char *name)
{
	if (map->mapped_blocks != map->blocks_count && options->zero_run_bytes)
		log_info(options->log,
			 "%s: zeros are left out: flash it to devices that read as zeros there "
			 "(blkdiscard "
			 "--zeroout makes them), unless nobody needs these zeros",
			 name);
	if (map->mapped_blocks != map->blocks_count)
		return;
	if (options->zero_run_bytes)
		log_warning(options->log,
			    "%s: all %" PRIu64 " blocks are mapped: there are no %" PRIu64
			    " bytes of zeros in a row, so the map saves nothing",
			    name, map->blocks_count, options->zero_run_bytes);
	else if (options->used_blocks)
		log_warning(options->log,
			    "%s: all %" PRIu64 " blocks are mapped: none was found that is not "
			    "used, so the map saves nothing",
			    name, map->blocks_count);
	else
		log_warning(options->log,
			    "%s: all %" PRIu64 " blocks are mapped: the image has no holes, so the "
			    "map saves nothing (fallocate --dig-holes makes them)",
			    name, map->blocks_count);
}

struct bmap_map *create_map(struct extents *extents, uint64_t size_bytes,
			    const struct bmap_create_options *options, struct bmap_error *err)
{
	enum bmap_digest digest = options->digest ? options->digest : BMAP_DIGEST_SHA256;
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

static struct range_loop range_loop_of(struct create *create, const struct bmap_map *map)
{
	const struct bmap_create_options *options = create->options;

	return (struct range_loop){
		.fd = create->input->fd,
		.name = options->image,
		.is_device = create->input->is_device,
		.size_bytes = map->image_size_bytes,
		.map = map,
		.workers = options->workers,
		.queue_depth = options->queue_depth,
		.memory_bytes = options->memory_bytes,
		.log = options->log,
		.stop = options->stop,
		.progress = options->progress ? tell_progress : NULL,
		.arg = create,
	};
}

static bool hash_ranges(struct create *create, struct bmap_error *err)
{
	struct bmap_map *map = create->map;
	struct range_loop loop = range_loop_of(create, map);

	if (!map->range_count)
		return true;
	map->digests = calloc(map->range_count, map->digest_bytes);
	if (!map->digests)
		return bmap_error_memory(err, create->options->image);
	loop.on_range = take_digest;
	return range_loop_run(&loop, NULL, err);
}

static bool leave_zeros_out(struct create *create, struct bmap_error *err)
{
	const struct bmap_create_options *options = create->options;
	struct bmap_map *map = create->map, *stretches = zero_parts_stretches(map, err);
	struct range_loop loop;
	struct zero_parts parts;
	bool good;

	if (!stretches)
		return false;
	zero_parts_init(&parts, map->digest, options->no_checksum);
	loop = range_loop_of(create, stretches);
	loop.zero_run_bytes = options->zero_run_bytes;
	loop.no_digests = options->no_checksum;
	loop.on_part = zero_parts_add;
	loop.part_arg = &parts;
	good = (!map->range_count || range_loop_run(&loop, NULL, err)) &&
	       zero_parts_map(&parts, map, options->zero_run_bytes, &create->forced, err);
	zero_parts_free(&parts);
	bmap_map_free(stretches);
	return good;
}
