/* SPDX-License-Identifier: MIT */
/* bmaptool create: the bmap of a sparse image file. */
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/text.h"

#include <inttypes.h>
#include <sys/stat.h>

struct create_args {
	struct common_args common;
	const char *image;
	const char *output;
	bool no_checksum;
	const char *checksum_type;
	uint64_t memory_bytes;
	unsigned queue_depth, workers;
};

#define PLACE(member) .place = offsetof(struct create_args, member)

static const struct option_def option_rows[] = {
	{ OPTION_GROUP, .help = "the bmap" },
	{ OPTION_TEXT, "output", 'o', .value_name = "FILE", PLACE(output),
	  .help = "write the bmap to FILE, compressed if its name ends in .gz, .xz or .zst "
		  "(default: to standard output)" },
	{ OPTION_FLAG, "no-checksum", PLACE(no_checksum),
	  .help = "leave the checksums of the block ranges out" },
	{ OPTION_TEXT, "checksum-type", .added = true, .value_name = "NAME", PLACE(checksum_type),
	  .help = "md5, sha1, sha224, sha256, sha384 or sha512 (default: sha256)" },

	{ OPTION_GROUP, .help = "resources" },
	MEMORY_OPTION(struct create_args),
	QUEUE_DEPTH_OPTION(struct create_args,
			   "keep N reads in flight (default: chosen by the program)"),
	WORKERS_OPTION(struct create_args, "compute checksums"),

	COMMON_OPTIONS(struct create_args),
};

static const struct argument_def argument_rows[] = {
	{ "IMAGE", "the image: a sparse regular file", offsetof(struct create_args, image) },
};

static bool check(const void *args, char *error);
static int run_create(struct run *run, const void *args);

const struct command command_create = {
	.name = "create",
	.summary = "make the bmap of an image",
	.description = "Makes the bmap of IMAGE: the list of its blocks that are not holes, with a "
		       "checksum\n"
		       "for each range of them. The image has to be sparse still, as the program "
		       "that made\n"
		       "it left it: a copy or a decompressed file may have lost its holes.\n",
	.table = { option_rows, COUNT_OF(option_rows), argument_rows, COUNT_OF(argument_rows),
		   false },
	.args_bytes = sizeof(struct create_args),
	.check = check,
	.run = run_create,
};

/* BMAP_DIGEST_NONE if the option was not given. False if its value names no checksum. */
static bool digest_of(const struct create_args *a, enum bmap_digest *digest)
{
	*digest = BMAP_DIGEST_NONE;
	return !a->checksum_type ||
	       (bmap_digest_from_name(a->checksum_type, digest) && *digest != BMAP_DIGEST_NONE);
}

static bool check(const void *opaque, char *error)
{
	const struct create_args *a = opaque;
	enum bmap_digest digest;

	if (digest_of(a, &digest))
		return true;
	snprintf(error, OPTION_ERROR_ROOM,
		 "option --checksum-type: '%.100s' is none of md5, sha1, sha224, sha256, sha384, "
		 "sha512",
		 a->checksum_type);
	return false;
}

static void on_progress(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
	progress_update(user, monotonic_ns(), done_bytes, total_bytes);
}

static void report_success(struct run *run, const struct create_args *a, const struct bmap_map *map,
			   uint64_t elapsed_ns)
{
	char mapped[TEXT_ROOM], whole[TEXT_ROOM], time[TEXT_ROOM];

	output_info(&run->out,
		    "%s: %" PRIu64 " of %" PRIu64 " blocks of size %" PRIu64
		    " mapped (%s of %s), written to '%s' in %s",
		    a->image, map->mapped_blocks, map->blocks_count, map->block_size_bytes,
		    text_size(mapped, bmap_mapped_bytes(map)),
		    text_size(whole, map->image_size_bytes), a->output,
		    text_time(time, elapsed_ns));
}

/* The names in a wrong order would leave the bmap of an image that is gone. */
static bool refuse_image_as_output(const struct create_args *a, struct bmap_error *err)
{
	struct stat image, output;

	if (!a->output || stat(a->image, &image) || stat(a->output, &output) ||
	    image.st_dev != output.st_dev || image.st_ino != output.st_ino)
		return true;
	err->code = BMAP_ERR_REFUSED;
	snprintf(err->text, sizeof(err->text),
		 "%.1000s: refused: it is the image itself, which the bmap would replace: name "
		 "another file with -o",
		 a->output);
	return false;
}

/* A file is written to its end, so that nothing is left beside it: a signal that comes now is too
 * late. Standard output may be a pipe that nobody reads: there a signal ends the process. */
static bool save(struct run *run, const struct create_args *a, const struct bmap_map *map,
		 struct bmap_error *err)
{
	if (!a->output)
		signals_forget();
	if (bmap_stop_requested(run->stop)) {
		err->code = BMAP_ERR_INTERRUPTED;
		snprintf(err->text, sizeof(err->text), "%.1000s: interrupted: no bmap was written",
			 a->image);
		return false;
	}
	return bmap_map_save(map, a->output, err);
}

static int run_create(struct run *run, const void *opaque)
{
	const struct create_args *a = opaque;
	struct bmap_create_options options = BMAP_CREATE_OPTIONS_INIT;
	struct bmap_map *map = NULL;
	struct bmap_error err = { 0 };
	struct progress progress;
	uint64_t start_ns = monotonic_ns();
	int code = EXIT_OK;
	bool ok;

	signals_set_state("no bmap of %.500s was written", a->image);
	progress_init(&progress, &run->out, "read");
	progress_begin(&progress, monotonic_ns());
	options.image = a->image;
	digest_of(a, &options.digest);
	options.no_checksum = a->no_checksum;
	options.memory_bytes = a->memory_bytes;
	options.queue_depth = a->queue_depth;
	options.workers = a->workers;
	options.log = &run->out.log;
	options.stop = run->stop;
	options.progress = on_progress;
	options.progress_user = &progress;
	ok = refuse_image_as_output(a, &err) && bmap_map_save_check(a->output, &err) &&
	     bmap_create(&options, &map, &err);
	/* Before the bmap goes to what may be the same terminal. */
	progress_end(&progress, ok);
	if (!ok || !save(run, a, map, &err))
		code = report_failure(run, &err);
	else if (a->output)
		report_success(run, a, map, monotonic_ns() - start_ns);
	bmap_map_free(map);
	return code;
}
