/* SPDX-License-Identifier: MIT */
/* bmaptool copy: an image to a block device or file. */
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/psplash.h"
#include "cli/signals.h"
#include "cli/text.h"

#include <string.h>

#define STATE_NAMES_ROOM 700 /* of the text that a second signal prints */

struct copy_args {
	struct common_args common;
	const char *image;
	struct text_list dests;
	const char *bmap;
	const char *member;
	bool no_bmap, no_verify, removable_only, allow_dev_files;
	struct signature_args signature;
	const char *psplash_pipe;
	uint64_t memory_bytes;
	unsigned queue_depth, workers, stall_seconds;
};

#define PLACE(member) .place = offsetof(struct copy_args, member)

static const struct option_def option_rows[] = {
	{ OPTION_GROUP, .help = "the map" },
	{ OPTION_TEXT, "bmap", .value_name = "FILE", PLACE(bmap),
	  .help = "the bmap of the image, plain or compressed (default: looked for beside the "
		  "image: for disk.img.gz disk.img.gz.bmap, disk.img.bmap, disk.bmap)" },
	{ OPTION_FLAG, "nobmap", PLACE(no_bmap),
	  .help = "do without: write every byte of the image" },
	{ OPTION_FLAG, "no-verify", PLACE(no_verify),
	  .help = "do not check the image against the checksums of the bmap" },
	SIGNATURE_OPTIONS(struct copy_args),

	{ OPTION_GROUP, .help = "the image" },
	MEMBER_OPTION(struct copy_args),

	{ OPTION_GROUP, .help = "the destination" },
	{ OPTION_FLAG, "removable-device", PLACE(removable_only),
	  .help = "refuse DEST unless it is a removable block device" },
	{ OPTION_FLAG, "allow-dev-files", .added = true, PLACE(allow_dev_files),
	  .help = "let DEST be a regular file below /dev; otherwise taken for a misspelt device "
		  "and refused" },
	{ OPTION_COUNT, "stall-timeout", .added = true, .value_name = "SECONDS",
	  PLACE(stall_seconds), .max = 86400,
	  .help = "give DEST up if it completes nothing for so long (default: 240; a warning "
		  "comes earlier)" },

	{ OPTION_GROUP, .help = "resources" },
	MEMORY_OPTION(struct copy_args),
	QUEUE_DEPTH_OPTION(struct copy_args,
			   "keep N writes in flight (default: adapts to the device)"),
	WORKERS_OPTION(struct copy_args, "decompress"),

	{ OPTION_GROUP, .help = "progress" },
	{ OPTION_TEXT, "psplash-pipe", .value_name = "FIFO", PLACE(psplash_pipe),
	  .help = "also write the progress to this named pipe, for psplash" },

	COMMON_OPTIONS(struct copy_args),
};

static const struct argument_def argument_rows[] = {
	{ "IMAGE",
	  "the image: a file, plain or compressed, a block device, a URL (http, https, ftp, ssh, "
	  "file), "
	  "or - for standard input",
	  offsetof(struct copy_args, image) },
	{ "DEST",
	  "where to: a block device, a file, or /dev/null; several are written at once, each ends "
	  "for itself",
	  offsetof(struct copy_args, dests), .many = true },
};

static bool check(const void *args, char *error);
static int run_copy(struct run *run, const void *args);

const struct command command_copy = {
	.name = "copy",
	.alias = "write",
	.summary = "write an image to devices or files, using its bmap",
	.description =
		"Writes the blocks of IMAGE that its bmap lists to DEST, checks them against the\n"
		"checksums of the bmap, and flushes the device's cache. The rest of DEST is left "
		"as\n"
		"it is. A device that is in use is refused.\n",
	.table = { option_rows, COUNT_OF(option_rows), argument_rows, COUNT_OF(argument_rows),
		   false },
	.args_bytes = sizeof(struct copy_args),
	.check = check,
	.run = run_copy,
};

static bool check(const void *opaque, char *error)
{
	const struct copy_args *a = opaque;
	const struct conflict pairs[] = {
		{ a->no_bmap, a->bmap != NULL, "--nobmap and --bmap" },
		{ a->no_bmap, a->signature.bmap_sig != NULL, "--nobmap and --bmap-sig" },
		{ a->no_bmap, a->signature.keyring != NULL, "--nobmap and --keyring" },
		{ a->no_bmap, a->signature.fingerprint != NULL, "--nobmap and --fingerprint" },
	};

	return conflicts_check(pairs, COUNT_OF(pairs), error) &&
	       signature_args_check(&a->signature, error);
}

/* The bytes that every target still in the running has, and whether all of those only wait. */
static void summarise_targets(const struct bmap_flash_progress *report, uint64_t *done,
			      bool *flushing)
{
	bool any = false;

	*done = 0;
	*flushing = true;
	for (size_t i = 0; i < report->target_count; i++) {
		const struct bmap_target_report *t = &report->targets[i];

		if (t->state == BMAP_TARGET_FAILED || t->state == BMAP_TARGET_INTERRUPTED)
			continue;
		if (!any || t->completed_bytes < *done)
			*done = t->completed_bytes;
		any = true;
		if (t->state != BMAP_TARGET_FLUSHING && t->state != BMAP_TARGET_HEAD)
			*flushing = false;
	}
	if (!any)
		*flushing = false;
}

/* "/dev/sdb, /dev/sdd and 3 more are incomplete", as far as a line takes them. */
static void set_state_of_several(const struct bmap_flash_progress *report)
{
	char names[STATE_NAMES_ROOM] = "";
	size_t len = 0, incomplete = 0, left_out = 0;

	for (size_t i = 0; i < report->target_count; i++) {
		const struct bmap_target_report *t = &report->targets[i];

		if (t->state == BMAP_TARGET_DONE)
			continue;
		incomplete++;
		if (len + strlen(t->name) + 2 >= sizeof(names))
			left_out++;
		else
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s",
						len ? ", " : "", t->name);
	}
	if (left_out)
		signals_set_state("incomplete are %zu of %zu targets: %s and %zu more", incomplete,
				  report->target_count, names, left_out);
	else
		signals_set_state("incomplete are %zu of %zu targets: %s", incomplete,
				  report->target_count, names);
}

struct copy_progress {
	struct progress progress;
	const struct copy_args *args;
};

static void on_progress(void *user, const struct bmap_flash_progress *report)
{
	struct copy_progress *cp = user;
	char written[TEXT_ROOM], total[TEXT_ROOM];
	uint64_t done;
	bool flushing;

	summarise_targets(report, &done, &flushing);
	progress_update_source(&cp->progress, monotonic_ns(), done, report->total_bytes,
			       report->source_read_bytes, report->source_total_bytes, flushing);
	if (report->target_count > 1)
		set_state_of_several(report);
	else if (report->total_bytes)
		signals_set_state("%.500s is incomplete: %s of %s written",
				  cp->args->dests.texts[0], text_size(written, done),
				  text_size(total, report->total_bytes));
	else
		signals_set_state("%.500s is incomplete: %s written", cp->args->dests.texts[0],
				  text_size(written, done));
}

/* err is the first error; the targets that failed beside it have their own. */
static int report_copy_failure(struct run *run, const struct bmap_flash_result *result,
			       const struct bmap_error *err)
{
	for (size_t i = 0; i < result->target_count; i++) {
		const struct bmap_error *other = result->targets[i].error;

		if (other && strcmp(other->text, err->text) != 0)
			output_error(&run->out, "%s", other->text);
	}
	return report_failure(run, err);
}

static void report_success(struct run *run, const struct bmap_flash_result *result)
{
	char time[TEXT_ROOM], speed[TEXT_ROOM];

	output_info(&run->out, "copying time: %s, copying speed %s",
		    text_time(time, result->elapsed_ns),
		    text_speed(speed, result->mapped_bytes, result->elapsed_ns));
}

static int run_copy(struct run *run, const void *opaque)
{
	const struct copy_args *a = opaque;
	struct bmap_flash_options options = BMAP_FLASH_OPTIONS_INIT;
	struct bmap_flash_result result = { 0 };
	struct bmap_error err = { 0 };
	struct psplash psplash;
	struct copy_progress cp = { .args = a };
	int code = EXIT_OK;
	bool ok;

	if (a->dests.count == 1)
		signals_set_state("nothing was written to %.500s", a->dests.texts[0]);
	else
		signals_set_state("nothing was written to any of %zu targets", a->dests.count);
	progress_init(&cp.progress, &run->out, "copied");
	if (a->psplash_pipe) {
		psplash_open(&psplash, a->psplash_pipe, &run->out);
		cp.progress.psplash = &psplash;
	}
	options.image = a->image;
	options.bmap = a->bmap;
	options.bmap_signature = a->signature.bmap_sig;
	options.no_signature = a->signature.no_sig_verify;
	options.keyring = a->signature.keyring;
	options.fingerprint = a->signature.fingerprint;
	options.member = a->member;
	options.targets = a->dests.texts;
	options.target_count = a->dests.count;
	options.no_bmap = a->no_bmap;
	options.no_verify = a->no_verify;
	options.removable_only = a->removable_only;
	options.allow_dev_files = a->allow_dev_files;
	options.memory_bytes = a->memory_bytes;
	options.queue_depth = a->queue_depth;
	options.workers = a->workers;
	options.stall_seconds = a->stall_seconds;
	options.log = &run->out.log;
	options.stop = run->stop;
	options.progress = on_progress;
	options.progress_user = &cp;
	ok = bmap_flash(&options, &result, &err);
	progress_end(&cp.progress, ok);
	if (a->psplash_pipe)
		psplash_close(&psplash);
	if (ok)
		report_success(run, &result);
	else
		code = report_copy_failure(run, &result, &err);
	bmap_flash_result_free(&result);
	return code;
}
