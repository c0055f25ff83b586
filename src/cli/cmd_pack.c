/* SPDX-License-Identifier: MIT */
/* bmaptool pack: a sparse image as the .zst that is flashed fastest, and its bmap. */
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/text.h"

#include <inttypes.h>
#include <string.h>

struct pack_args {
	struct common_args common;
	const char *image;
	const char *output;
	const char *bmap;
	bool no_bmap;
	unsigned level;
	uint64_t memory_bytes;
	unsigned workers;
};

#define PLACE(member) .place = offsetof(struct pack_args, member)

static const struct option_def option_rows[] = {
	{ OPTION_GROUP, .help = "the result" },
	{ OPTION_TEXT, "output", 'o', .value_name = "FILE", PLACE(output),
	  .help = "write the packed image to FILE, such as disk.img.zst, and its bmap beside it "
		  "as disk.img.bmap; -: to standard output, without a bmap (required)" },
	{ OPTION_COUNT, "level", .value_name = "N", PLACE(level), .max = BMAP_PACK_MAX_LEVEL,
	  .help = "compress as zstd -N does, 1 to 19: higher is smaller and takes longer; it is "
		  "flashed equally fast (default: 3)" },

	{ OPTION_GROUP, .help = "the bmap" },
	{ OPTION_TEXT, "bmap", .value_name = "FILE", PLACE(bmap),
	  .help = "the bmap of the image: the image is checked against it, and what it does not "
		  "map is packed as zeros (default: one is made from the image's holes)" },
	{ OPTION_FLAG, "nobmap", PLACE(no_bmap), .help = "write no bmap" },

	{ OPTION_GROUP, .help = "resources" },
	MEMORY_OPTION(struct pack_args),
	WORKERS_OPTION(struct pack_args, "compress"),

	COMMON_OPTIONS(struct pack_args),
};

static const struct argument_def argument_rows[] = {
	{ "IMAGE", "the image: a sparse regular file", offsetof(struct pack_args, image) },
};

static bool check(const void *args, char *error);
static int run_pack(struct run *run, const void *args);

const struct command command_pack = {
	.name = "pack",
	.summary = "compress an image so that it is flashed fastest",
	.description =
		"Compresses IMAGE on all processors to a zstd file that 'bmaptool copy' decodes "
		"on\n"
		"all processors, passing its holes by, and writes its bmap beside it. Any zstd\n"
		"unpacks it. IMAGE has to be sparse still, as for 'bmaptool create', or --bmap "
		"has\n"
		"to tell what is mapped.\n",
	.table = { option_rows, COUNT_OF(option_rows), argument_rows, COUNT_OF(argument_rows),
		   false },
	.args_bytes = sizeof(struct pack_args),
	.check = check,
	.run = run_pack,
};

static bool check(const void *opaque, char *error)
{
	const struct pack_args *a = opaque;

	if (a->output)
		return true;
	snprintf(error, OPTION_ERROR_ROOM, "required and not given: --output");
	return false;
}

struct watch {
	struct output *out;
	struct progress progress;
	enum bmap_pack_phase phase;
};

/* Each phase has a line of its own. */
static void on_progress(void *user, enum bmap_pack_phase phase, uint64_t done_bytes,
			uint64_t total_bytes)
{
	struct watch *watch = user;

	if (phase != watch->phase) {
		progress_end(&watch->progress, true);
		progress_init(&watch->progress, watch->out, "packed");
		watch->phase = phase;
	}
	progress_update(&watch->progress, monotonic_ns(), done_bytes, total_bytes);
}

static void report_success(struct run *run, const struct pack_args *a,
			   const struct bmap_pack_result *result, uint64_t elapsed_ns)
{
	char image[TEXT_ROOM], mapped[TEXT_ROOM], packed[TEXT_ROOM], time[TEXT_ROOM];

	output_info(&run->out, "%s: %s (%s mapped) packed into '%s' (%s) in %s", a->image,
		    text_size(image, result->image_bytes), text_size(mapped, result->mapped_bytes),
		    a->output, text_size(packed, result->packed_bytes),
		    text_time(time, elapsed_ns));
	output_debug(&run->out, "%" PRIu64 " frames, %" PRIu64 " of them holes", result->frames,
		     result->hole_frames);
}

static int run_pack(struct run *run, const void *opaque)
{
	const struct pack_args *a = opaque;
	struct bmap_pack_options options = BMAP_PACK_OPTIONS_INIT;
	struct bmap_pack_result result;
	struct bmap_error err = { 0 };
	struct watch watch = { .out = &run->out, .phase = BMAP_PACK_MAP };
	uint64_t start_ns = monotonic_ns();
	bool ok;

	signals_set_state("%.500s was not packed", a->image);
	progress_init(&watch.progress, &run->out, "read");
	options.image = a->image;
	options.output = a->output;
	options.bmap = a->bmap;
	options.no_bmap = a->no_bmap;
	options.level = a->level;
	options.memory_bytes = a->memory_bytes;
	options.workers = a->workers;
	options.log = &run->out.log;
	options.stop = run->stop;
	options.progress = on_progress;
	options.progress_user = &watch;
	ok = bmap_pack(&options, &result, &err);
	progress_end(&watch.progress, ok);
	if (!ok)
		return report_failure(run, &err);
	report_success(run, a, &result, monotonic_ns() - start_ns);
	return EXIT_OK;
}
