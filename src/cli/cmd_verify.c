/* SPDX-License-Identifier: MIT */
/* bmaptool verify: an image or a device against its bmap. */
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/text.h"

#include <inttypes.h>
#include <stdlib.h>

struct verify_args {
	struct common_args common;
	const char *input;
	const char *bmap;
	const char *member;
	struct signature_args signature;
	uint64_t memory_bytes;
	unsigned queue_depth, workers;
};

static const struct option_def option_rows[] = {
	{ OPTION_GROUP, .help = "the map" },
	{ OPTION_TEXT, "bmap", .value_name = "FILE", .place = offsetof(struct verify_args, bmap),
	  .help = "the bmap, plain or compressed (default: looked for beside the image, as copy "
		  "does)" },

	SIGNATURE_OPTIONS(struct verify_args),

	{ OPTION_GROUP, .help = "the image" },
	MEMBER_OPTION(struct verify_args),

	{ OPTION_GROUP, .help = "resources" },
	MEMORY_OPTION(struct verify_args),
	QUEUE_DEPTH_OPTION(struct verify_args,
			   "keep N reads in flight (default: chosen by the program)"),
	WORKERS_OPTION(struct verify_args, "compute checksums, decompress"),

	COMMON_OPTIONS(struct verify_args),
};

static const struct argument_def argument_rows[] = {
	{ "IMAGE_OR_DEVICE",
	  "what to check: an image, plain or compressed, a block device, a URL, or - for "
	  "standard input; it is only read",
	  offsetof(struct verify_args, input) },
};

static bool check(const void *args, char *error);
static int run_verify(struct run *run, const void *args);

const struct command command_verify = {
	.name = "verify",
	.summary = "check an image or a device against a bmap",
	.description =
		"Reads the blocks of IMAGE_OR_DEVICE that the bmap lists and compares them with "
		"its\n"
		"checksums. Each range that does not match is named. Exit status 0: all match.\n",
	.table = { option_rows, COUNT_OF(option_rows), argument_rows, COUNT_OF(argument_rows),
		   false },
	.args_bytes = sizeof(struct verify_args),
	.check = check,
	.run = run_verify,
};

static bool check(const void *opaque, char *error)
{
	const struct verify_args *a = opaque;

	return signature_args_check(&a->signature, error);
}

struct verify_progress {
	struct run *run;
	const struct verify_args *args;
	struct progress progress;
};

static void on_progress(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
	struct verify_progress *vp = user;
	char done[TEXT_ROOM], total[TEXT_ROOM];

	progress_update(&vp->progress, monotonic_ns(), done_bytes, total_bytes);
	signals_set_state("%.500s: %s of %s were checked", vp->args->input,
			  text_size(done, done_bytes), text_size(total, total_bytes));
}

static const char *hex(char out[2 * BMAP_DIGEST_MAX_BYTES + 1], const uint8_t *bytes, size_t len)
{
	out[0] = '\0';
	for (size_t i = 0; i < len && i < BMAP_DIGEST_MAX_BYTES; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
	return out;
}

static void on_bad_range(void *user, const struct bmap_bad_range *bad)
{
	struct verify_progress *vp = user;
	char expected[2 * BMAP_DIGEST_MAX_BYTES + 1], found[2 * BMAP_DIGEST_MAX_BYTES + 1];

	output_error(&vp->run->out,
		     "%s: checksum mismatch: blocks %" PRIu64 "-%" PRIu64 " (byte offset %" PRIu64
		     ", %" PRIu64 " bytes): expected %s, found %s",
		     vp->args->input, bad->first_block, bad->last_block, bad->offset_bytes,
		     bad->len_bytes, hex(expected, bad->expected, bad->digest_bytes),
		     hex(found, bad->found, bad->digest_bytes));
}

static void report_success(struct run *run, const struct verify_args *a,
			   const struct bmap_verify_result *result)
{
	char size[TEXT_ROOM], time[TEXT_ROOM], speed[TEXT_ROOM];

	if (!result->ranges_checked && !result->ranges_without_checksum) {
		output_warning(&run->out,
			       "%s: the bmap lists no blocks at all: nothing could be compared",
			       a->input);
		return;
	}
	if (!result->ranges_checked) {
		output_warning(&run->out,
			       "%s: the bmap has no checksums: nothing could be compared",
			       a->input);
		return;
	}
	if (result->ranges_without_checksum)
		output_warning(
			&run->out,
			"%s: not compared, because the bmap has no checksum for them: %zu ranges",
			a->input, result->ranges_without_checksum);
	output_info(&run->out, "%s: %zu range%s (%s), time: %s, speed %s", a->input,
		    result->ranges_checked, result->ranges_checked == 1 ? " matches" : "s match",
		    text_size(size, result->checked_bytes), text_time(time, result->elapsed_ns),
		    text_speed(speed, result->checked_bytes, result->elapsed_ns));
}

static int run_verify(struct run *run, const void *opaque)
{
	const struct verify_args *a = opaque;
	struct verify_args shown = *a;
	char *name = bmap_name_to_show(a->input);
	struct bmap_verify_options options = BMAP_VERIFY_OPTIONS_INIT;
	struct bmap_verify_result result = { 0 };
	struct bmap_error err = { 0 };
	struct verify_progress vp = { .run = run, .args = &shown };
	bool ok;

	shown.input = name ? name : "the image";
	signals_set_state("%.500s: nothing was checked", shown.input);
	progress_init(&vp.progress, &run->out, "verified");
	progress_begin(&vp.progress, monotonic_ns());
	options.input = a->input;
	options.bmap = a->bmap;
	options.bmap_signature = a->signature.bmap_sig;
	options.no_signature = a->signature.no_sig_verify;
	options.keyring = a->signature.keyring;
	options.fingerprint = a->signature.fingerprint;
	options.member = a->member;
	options.memory_bytes = a->memory_bytes;
	options.queue_depth = a->queue_depth;
	options.workers = a->workers;
	options.log = &run->out.log;
	options.stop = run->stop;
	options.bad_range = on_bad_range;
	options.progress = on_progress;
	options.user = &vp;
	ok = bmap_verify(&options, &result, &err);
	progress_end(&vp.progress, ok);
	if (ok)
		report_success(run, &shown, &result);
	free(name);
	return ok ? EXIT_OK : report_failure(run, &err);
}
