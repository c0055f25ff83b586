/* SPDX-License-Identifier: MIT */
/* bmaptool create: the bmap of an image. */
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct create_args {
	struct common_args common;
	const char *image;
	const char *output;
	bool no_checksum;
	const char *checksum_type;
	bool detect_zeroes, used_blocks;
	uint64_t zero_run_bytes, block_size_bytes;
	struct text_list spans;
	const char *member;
	uint64_t memory_bytes;
	unsigned queue_depth, workers;
};

#define ZERO_RUN_BYTES (64u * 1024u)
#define MIN_BLOCK_BYTES 512u
#define MAX_BLOCK_BYTES (1024u * 1024u)

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

	{ OPTION_GROUP, .help = "what is mapped" },
	{ OPTION_FLAG, "used-blocks", .added = true, PLACE(used_blocks),
	  .help = "map only what the partition table and the file systems ext2, ext3, ext4 and FAT "
		  "use; all others are mapped as a whole. IMAGE may then also be a block device; "
		  "if "
		  "it is compressed, it has to be unpacked first" },
	{ OPTION_FLAG, "detect-zeroes", .added = true, PLACE(detect_zeroes),
	  .help = "look at the data, and leave blocks out that are all zero. They will not be "
		  "written: a device keeps there what it had before. File systems need many of "
		  "their zeros, so flash only devices that were erased (blkdiscard --zeroout), or "
		  "keep zeros in with --map. IMAGE may then also be a block device, a compressed "
		  "image, an archive, a URL, or - for standard input; the bmap is that of the "
		  "unpacked image" },
	{ OPTION_SIZE, "zero-run", .added = true, .value_name = "SIZE", PLACE(zero_run_bytes),
	  .help = "with --detect-zeroes: leave out runs of at least SIZE (default: 64K)" },
	{ OPTION_LIST, "map", .added = true, .value_name = "START:END", PLACE(spans),
	  .help = "map the blocks of bytes START to END, END not included, whatever is there, "
		  "such as 0:1M; may be given more than once" },
	{ OPTION_SIZE, "block-size", .added = true, .value_name = "SIZE", PLACE(block_size_bytes),
	  .help = "the blocks of the bmap: a power of two, 512 to 1M (default: that of the file "
		  "system IMAGE is on; 4K where it is on none)" },
	MEMBER_OPTION(struct create_args),

	{ OPTION_GROUP, .help = "resources" },
	MEMORY_OPTION(struct create_args),
	QUEUE_DEPTH_OPTION(struct create_args,
			   "keep N reads in flight (default: chosen by the program)"),
	WORKERS_OPTION(struct create_args, "compute checksums"),

	COMMON_OPTIONS(struct create_args),
};

static const struct argument_def argument_rows[] = {
	{ "IMAGE", "the image: a sparse regular file, or more (--used-blocks, --detect-zeroes)",
	  offsetof(struct create_args, image) },
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
		       "it left it: a copy or a decompressed file may have lost its holes.\n"
		       "--used-blocks and --detect-zeroes make a bmap of what has no holes.\n",
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

/* "1M", and as a start also "0". */
static bool parse_position(const char *text, uint64_t *bytes)
{
	*bytes = 0;
	return !strcmp(text, "0") || parse_size(text, bytes);
}

/* "START:END" */
static bool parse_span(const char *text, struct bmap_span *span)
{
	const char *colon = strchr(text, ':');
	char start[32];

	if (!colon || (size_t)(colon - text) >= sizeof(start))
		return false;
	memcpy(start, text, (size_t)(colon - text));
	start[colon - text] = '\0';
	return parse_position(start, &span->begin_bytes) &&
	       parse_size(colon + 1, &span->end_bytes) && span->begin_bytes < span->end_bytes;
}

static bool check_values(const struct create_args *a, char *error)
{
	uint64_t block = a->block_size_bytes;
	struct bmap_span span;

	if (block && (block < MIN_BLOCK_BYTES || block > MAX_BLOCK_BYTES || block & (block - 1))) {
		snprintf(error, OPTION_ERROR_ROOM,
			 "option --block-size: %" PRIu64 " is not a power of two from 512 to 1M",
			 block);
		return false;
	}
	for (size_t i = 0; i < a->spans.count; i++) {
		if (parse_span(a->spans.texts[i], &span))
			continue;
		snprintf(error, OPTION_ERROR_ROOM,
			 "option --map: '%.100s' is not START:END, such as 0:1M",
			 a->spans.texts[i]);
		return false;
	}
	return true;
}

static bool check(const void *opaque, char *error)
{
	const struct create_args *a = opaque;
	const char *without = a->zero_run_bytes ? "--zero-run" : a->member ? "--member" : NULL;
	enum bmap_digest digest;

	if (without && !a->detect_zeroes) {
		snprintf(error, OPTION_ERROR_ROOM, "%s can only be used with --detect-zeroes",
			 without);
		return false;
	}
	if (digest_of(a, &digest))
		return check_values(a, error);
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

/* check() has seen that they are good. False: no memory. */
static bool take_spans(const struct create_args *a, struct bmap_create_options *options,
		       struct bmap_span **spans, struct bmap_error *err)
{
	*spans = calloc(a->spans.count + 1, sizeof(**spans));
	if (!*spans) {
		err->code = BMAP_ERR_MEMORY;
		snprintf(err->text, sizeof(err->text), "no memory for the options");
		return false;
	}
	for (size_t i = 0; i < a->spans.count; i++)
		parse_span(a->spans.texts[i], &(*spans)[i]);
	options->spans = *spans;
	options->span_count = a->spans.count;
	return true;
}

static int run_create(struct run *run, const void *opaque)
{
	const struct create_args *a = opaque;
	struct bmap_span *spans = NULL;
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
	if (a->detect_zeroes)
		options.zero_run_bytes = a->zero_run_bytes ? a->zero_run_bytes : ZERO_RUN_BYTES;
	options.used_blocks = a->used_blocks;
	options.block_size_bytes = a->block_size_bytes;
	options.member = a->member;
	options.memory_bytes = a->memory_bytes;
	options.queue_depth = a->queue_depth;
	options.workers = a->workers;
	options.log = &run->out.log;
	options.stop = run->stop;
	options.progress = on_progress;
	options.progress_user = &progress;
	ok = take_spans(a, &options, &spans, &err) && refuse_image_as_output(a, &err) &&
	     bmap_map_save_check(a->output, &err) && bmap_create(&options, &map, &err);
	/* Before the bmap goes to what may be the same terminal. */
	progress_end(&progress, ok);
	if (!ok || !save(run, a, map, &err))
		code = report_failure(run, &err);
	else if (a->output)
		report_success(run, a, map, monotonic_ns() - start_ns);
	bmap_map_free(map);
	free(spans);
	return code;
}
