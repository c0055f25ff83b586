/* SPDX-License-Identifier: MIT */
#include "base/checked.h"
#include "base/cleanup.h"
#include "base/threads.h"
#include "encode/zstd_frames.h"
#include "job/image_file.h"
#include "job/job_internal.h"
#include "job/output_file.h"
#include "job/pack_loop.h"
#include "job/range_loop.h"

#include <bmap/create.h>
#include <bmap/pack.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_LEVEL 3u

_Static_assert(BMAP_PACK_MAX_LEVEL == ZSTD_FRAMES_MAX_LEVEL, "pack.h says what the encoder takes");

struct pack {
	const struct bmap_pack_options *options;
	uint64_t memory_bytes;
	int fd;
	struct stat before; /* of the image */
	struct bmap_map *map;
	char *map_path; /* where it goes; NULL: nowhere */
	struct output_file out;
	atomic_size_t bad_range; /* the first one found that does not match its checksum */
};

static bool check_options(const struct bmap_pack_options *options, struct bmap_error *err);
static bool choose_map_path(struct pack *pack, struct bmap_error *err);
static bool have_map(struct pack *pack, struct bmap_error *err);
static bool pack_image(struct pack *pack, struct bmap_pack_result *result, struct bmap_error *err);
static bool commit(struct pack *pack, struct bmap_error *err);
static void warn_of_other_map(const struct pack *pack);

static bool to_stdout(const struct bmap_pack_options *options)
{
	return !strcmp(options->output, "-");
}

bool bmap_pack(const struct bmap_pack_options *options, struct bmap_pack_result *result,
	       struct bmap_error *err)
{
	struct bmap_pack_result mine = { 0 };
	struct pack pack = { .options = options, .fd = -1, .bad_range = SIZE_MAX };
	bool good;

	if (result)
		*result = mine;
	if (!check_options(options, err))
		return false;
	pack.memory_bytes = job_memory_bytes(options->memory_bytes);
	pack.fd = image_file_open(options->image, &pack.before, err);
	if (pack.fd < 0)
		return false;
	good = choose_map_path(&pack, err) &&
	       output_file_open(&pack.out, to_stdout(options) ? NULL : options->output,
				"the packed image", options->stop, err);
	if (good) {
		good = have_map(&pack, err) && pack_image(&pack, &mine, err) && commit(&pack, err);
		output_file_discard(&pack.out);
	}
	if (good) {
		warn_of_other_map(&pack);
		if (result)
			*result = mine;
	}
	bmap_map_free(pack.map);
	free(pack.map_path);
	close(pack.fd);
	return good;
}

static bool check_options(const struct bmap_pack_options *options, struct bmap_error *err)
{
	if (options->struct_size != sizeof(*options))
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "bmap_pack: options of another version of the library");
	if (options->level > BMAP_PACK_MAX_LEVEL)
		return bmap_error_set(err, BMAP_ERR_USAGE, "level %u: levels are 1 to %d",
				      options->level, BMAP_PACK_MAX_LEVEL);
	if (to_stdout(options) && isatty(STDOUT_FILENO))
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "standard output is a terminal: compressed data is not "
				      "written to it; name a file");
	return true;
}

/* ---- where things go ---- */

static bool is_file(const char *path, const struct stat *st)
{
	struct stat other;

	return stat(path, &other) == 0 && other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

static bool refuse_image(const struct pack *pack, const char *path, const char *what,
			 struct bmap_error *err)
{
	if (!is_file(path, &pack->before))
		return true;
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: %s would replace the image: name another output", path, what);
}

/* disk.img.zst -> disk.img.bmap, which is looked for beside it: bmap_map_discover(). */
static bool choose_map_path(struct pack *pack, struct bmap_error *err)
{
	const struct bmap_pack_options *options = pack->options;
	const char *out = options->output, *name = strrchr(out, '/');
	size_t len = strlen(out), name_len;
	struct stat st;

	if (to_stdout(options)) {
		if (!options->no_bmap)
			log_info(options->log, "standard output: no bmap is written");
		return true;
	}
	if (!refuse_image(pack, out, "the packed image", err))
		return false;
	if (options->bmap && stat(options->bmap, &st) == 0 && is_file(out, &st))
		return bmap_error_set(err, BMAP_ERR_REFUSED,
				      "%s: the packed image would replace the bmap: name another "
				      "output",
				      out);
	/* Beside a pipe or device nobody looks for one. */
	if (options->no_bmap || (stat(out, &st) == 0 && !S_ISREG(st.st_mode)))
		return true;
	name_len = strlen(name ? name + 1 : out);
	if (name_len > 4 && !strcasecmp(out + len - 4, ".zst"))
		len -= 4;
	else if (name_len > 5 && !strcasecmp(out + len - 5, ".zstd"))
		len -= 5;
	if (asprintf(&pack->map_path, "%.*s.bmap", (int)len, out) < 0) {
		pack->map_path = NULL;
		return bmap_error_memory(err, out);
	}
	return refuse_image(pack, pack->map_path, "the bmap", err);
}

/* ---- the map ---- */

static void tell_map(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
	const struct bmap_pack_options *options = ((struct pack *)user)->options;

	options->progress(options->progress_user, BMAP_PACK_MAP, done_bytes, total_bytes);
}

static bool make_map(struct pack *pack, struct bmap_error *err)
{
	const struct bmap_pack_options *options = pack->options;
	struct bmap_create_options create = BMAP_CREATE_OPTIONS_INIT;

	create.image = options->image;
	create.no_checksum = !pack->map_path;
	create.memory_bytes = options->memory_bytes;
	create.workers = options->workers;
	create.log = options->log;
	create.stop = options->stop;
	create.progress = options->progress ? tell_map : NULL;
	create.progress_user = pack;
	return bmap_create(&create, &pack->map, err);
}

static void check_digest(void *arg, size_t range, const uint8_t *digest)
{
	struct pack *pack = arg;
	const struct bmap_map *map = pack->map;
	size_t none = SIZE_MAX;

	if (memcmp(digest, bmap_range_digest(map, range), map->digest_bytes) != 0)
		atomic_compare_exchange_strong(&pack->bad_range, &none, range);
}

/* A map that is not this image's would make a package that nobody can flash. */
static bool check_map(struct pack *pack, struct bmap_error *err)
{
	const struct bmap_pack_options *options = pack->options;
	const struct bmap_map *map = pack->map;
	const struct range_loop loop = {
		.fd = pack->fd,
		.name = options->image,
		.size_bytes = map->image_size_bytes,
		.map = map,
		.only_with_digest = true,
		.workers = options->workers,
		.memory_bytes = options->memory_bytes,
		.log = options->log,
		.stop = options->stop,
		.on_range = check_digest,
		.progress = options->progress ? tell_map : NULL,
		.arg = pack,
	};
	size_t bad;

	if ((uint64_t)pack->before.st_size != map->image_size_bytes)
		return bmap_error_set(err, BMAP_ERR_DATA,
				      "%s: the image has %" PRIu64 " bytes, but its bmap %s says "
				      "%" PRIu64 ": image and bmap do not belong together",
				      options->image, (uint64_t)pack->before.st_size, options->bmap,
				      map->image_size_bytes);
	if (!map->digests)
		return true;
	if (!range_loop_run(&loop, NULL, err))
		return false;
	bad = atomic_load(&pack->bad_range);
	if (bad == SIZE_MAX)
		return true;
	return bmap_error_data(err, bmap_range_begin(map, bad),
			       "%s: blocks %" PRIu64 "-%" PRIu64
			       " do not match their checksum in %s: image and bmap do not belong "
			       "together",
			       options->image, map->ranges[bad].first_block,
			       map->ranges[bad].last_block, options->bmap);
}

static bool have_map(struct pack *pack, struct bmap_error *err)
{
	if (!pack->options->bmap)
		return make_map(pack, err) &&
		       image_file_unchanged(pack->fd, pack->options->image, &pack->before,
					    "its map was made", err);
	return bmap_map_load(&pack->map, pack->options->bmap, err) && check_map(pack, err);
}

/* ---- the image ---- */

static void tell_compress(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
	const struct bmap_pack_options *options = ((struct pack *)user)->options;

	options->progress(options->progress_user, BMAP_PACK_COMPRESS, done_bytes, total_bytes);
}

static bool pack_image(struct pack *pack, struct bmap_pack_result *result, struct bmap_error *err)
{
	const struct bmap_pack_options *options = pack->options;
	const struct pack_loop loop = {
		.fd = pack->fd,
		.name = options->image,
		.map = pack->map,
		.out = &pack->out,
		.level = options->level ? options->level : DEFAULT_LEVEL,
		.workers = options->workers ? options->workers : thread_cpu_count(),
		.memory_bytes = pack->memory_bytes,
		.log = options->log,
		.stop = options->stop,
		.progress = options->progress ? tell_compress : NULL,
		.arg = pack,
	};

	return pack_loop_run(&loop, result, err) &&
	       image_file_unchanged(pack->fd, options->image, &pack->before, "it was packed", err);
}

/* The image last, when all else went well and nothing but a rename is left to do. */
static bool commit(struct pack *pack, struct bmap_error *err)
{
	const struct bmap_pack_options *options = pack->options;
	struct stat st;

	if (!output_file_finish(&pack->out, err))
		return false;
	if (bmap_stop_requested(options->stop))
		return bmap_error_set(err, BMAP_ERR_INTERRUPTED,
				      "%s: interrupted at the end of packing", options->image);
	/* The one that was named may be signed: it is left as it is. */
	if (pack->map_path && options->bmap && stat(options->bmap, &st) == 0 &&
	    is_file(pack->map_path, &st))
		log_info(options->log, "its bmap is '%s'", options->bmap);
	else if (pack->map_path && !bmap_map_save(pack->map, pack->map_path, err))
		return false;
	else if (pack->map_path)
		log_info(options->log, "its bmap was written to '%s'", pack->map_path);
	return output_file_commit(&pack->out, err);
}

/* OUTPUT.bmap is found before ours. */
static void warn_of_other_map(const struct pack *pack)
{
	CLEANUP_FREE char *found = NULL;
	struct stat st;

	if (!pack->map_path || !bmap_map_discover(pack->options->output, &found, NULL))
		return;
	if (stat(pack->map_path, &st) == 0 && !is_file(found, &st))
		log_warning(pack->options->log,
			    "'%s' is looked for first, and is there: remove it, or name the bmap "
			    "with --bmap",
			    found);
}
