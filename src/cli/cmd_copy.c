/* SPDX-License-Identifier: MIT */
/* bmaptool copy: an image to a block device or file. */
#include "cli/copy.h"
#include "cli/size_range.h"

#include <string.h>

#define PLACE(member) .place = offsetof(struct copy_args, member)

static const char *const straggler_choices[] = {
	[BMAP_STRAGGLER_WAIT - 1] = "wait",
	[BMAP_STRAGGLER_DETACH - 1] = "detach",
	NULL,
};

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
	{ OPTION_TEXT, "targets-from", .added = true, .value_name = "FILE", PLACE(targets_from),
	  .help = "also write to the targets named in FILE (- for standard input): one a line, "
		  "empty lines and those that begin with # do not count" },
	{ OPTION_PAIR, "target-by", .added = true, .value_name = "KIND PATTERN", PLACE(targets_by),
	  .help = "also write to every disk whose name matches PATTERN, such as by-id "
		  "'usb-SanDisk*'; KIND is by-id or by-path (names in /dev/disk) or usb-path (the "
		  "port, such as 1-1.4); may be given more than once" },
	{ OPTION_TEXT, "expect-size", .added = true, .value_name = "SIZE[+-PERCENT]",
	  PLACE(expect_size),
	  .help = "refuse a device of another size: 32G is 32 GiB, 32GB as vendors count; 32GB+-5% "
		  "lets it differ" },
	{ OPTION_TEXT, "expect-model", .added = true, .value_name = "PATTERN", PLACE(expect_model),
	  .help = "refuse a device whose model, or vendor and model, does not match" },
	{ OPTION_COUNT, "expect-count", .added = true, .value_name = "N", PLACE(expect_count),
	  .max = COPY_MAX_TARGETS, .help = "write nothing unless just N targets can be written" },
	{ OPTION_FLAG, "removable-device", PLACE(removable_only),
	  .help = "refuse DEST unless it is a removable block device" },
	{ OPTION_FLAG, "allow-dev-files", .added = true, PLACE(allow_dev_files),
	  .help = "let DEST be a regular file below /dev; otherwise taken for a misspelt device "
		  "and refused" },
	{ OPTION_CHOICE, "straggler", .added = true, .value_name = "wait|detach", PLACE(straggler),
	  .choices = straggler_choices,
	  .help = "of several targets one that holds the others below half of their speed for 10 "
		  "seconds is left behind and written in a second pass (detach, the default if the "
		  "image can be read twice), or all go at its speed (wait)" },
	{ OPTION_COUNT, "stall-timeout", .added = true, .value_name = "SECONDS",
	  PLACE(stall_seconds), .max = 86400,
	  .help = "give DEST up if it completes nothing for so long (default: 240; a warning "
		  "comes earlier)" },

	{ OPTION_FLAG, "read-back", .added = true, PLACE(read_back),
	  .help = "read everything back from DEST, past any cache, and compare it with what was "
		  "written (default for several)" },
	{ OPTION_FLAG, "no-read-back", .added = true, PLACE(no_read_back),
	  .help = "do not (default for one)" },

	{ OPTION_FLAG, "eject", .added = true, PLACE(eject),
	  .help = "at the end let go of each DEST that is complete: eject its medium, or switch "
		  "the "
		  "USB device off" },

	{ OPTION_GROUP, .help = "resources" },
	MEMORY_OPTION(struct copy_args),
	QUEUE_DEPTH_OPTION(struct copy_args,
			   "keep N writes in flight (default: adapts to the device)"),
	WORKERS_OPTION(struct copy_args, "decompress"),

	{ OPTION_GROUP, .help = "progress" },
	{ OPTION_TEXT, "psplash-pipe", .value_name = "FIFO", PLACE(psplash_pipe),
	  .help = "also write the progress to this named pipe, for psplash" },
	RECORD_OPTIONS(struct copy_args),

	COMMON_OPTIONS(struct copy_args),
};

static bool targets_named_elsewhere(const void *args)
{
	const struct copy_args *a = args;

	return a->targets_from || a->targets_by.count;
}

static const struct argument_def argument_rows[] = {
	{ "IMAGE",
	  "the image: a file, plain or compressed, a block device, a URL (http, https, ftp, ssh, "
	  "file), "
	  "or - for standard input",
	  offsetof(struct copy_args, image) },
	{ "DEST",
	  "where to: a block device, a file, or /dev/null; several are written at once, each ends "
	  "for itself",
	  offsetof(struct copy_args, dests), .many = true,
	  .given_otherwise = targets_named_elsewhere },
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

static bool is_standard_input(const char *name)
{
	return name && !strcmp(name, "-");
}

static bool check_values(const struct copy_args *a, char *error)
{
	enum bmap_device_name name;
	uint64_t least, most;

	for (size_t i = 0; i < a->targets_by.count; i += 2) {
		if (copy_target_kind(a->targets_by.texts[i], &name))
			continue;
		snprintf(error, OPTION_ERROR_ROOM,
			 "option --target-by: '%.100s' is none of by-id, by-path, usb-path",
			 a->targets_by.texts[i]);
		return false;
	}
	if (!a->expect_size || size_range_parse(a->expect_size, &least, &most))
		return true;
	snprintf(error, OPTION_ERROR_ROOM,
		 "option --expect-size: '%.100s' is not a size, such as 32G, 32GB or 32GB+-5%%",
		 a->expect_size);
	return false;
}

static bool same_text(const char *a, const char *b)
{
	return a && b && !strcmp(a, b);
}

static bool check(const void *opaque, char *error)
{
	const struct copy_args *a = opaque;
	bool list = is_standard_input(a->targets_from);
	const struct conflict pairs[] = {
		{ a->no_bmap, a->bmap != NULL, "--nobmap and --bmap" },
		{ a->no_bmap, a->signature.bmap_sig != NULL, "--nobmap and --bmap-sig" },
		{ a->no_bmap, a->signature.keyring != NULL, "--nobmap and --keyring" },
		{ a->no_bmap, a->signature.fingerprint != NULL, "--nobmap and --fingerprint" },
		{ a->read_back, a->no_read_back, "--read-back and --no-read-back" },
		{ list, is_standard_input(a->image), "--targets-from - and the image -" },
		{ list, is_standard_input(a->bmap), "--targets-from - and --bmap -" },
		{ a->targets_from, same_text(a->record.report, a->targets_from),
		  "--report and --targets-from of the same file" },
	};

	return conflicts_check(pairs, COUNT_OF(pairs), error) &&
	       signature_args_check(&a->signature, error) && check_values(a, error) &&
	       record_args_check(&a->record, error);
}

struct copy_job {
	struct copy_watch watch;
	struct copy_record record;
};

static void on_progress(void *user, const struct bmap_flash_progress *progress)
{
	struct copy_job *job = user;

	copy_watch_report(&job->watch, progress);
	copy_record_progress(&job->record, progress);
}

/* refusal: why there are no targets; NULL: there are. */
static int flash(struct run *run, const struct copy_args *a, const struct copy_targets *targets,
		 const struct bmap_error *refusal)
{
	struct bmap_flash_options options = BMAP_FLASH_OPTIONS_INIT;
	struct bmap_flash_result result = { 0 };
	struct bmap_error err = { 0 }, eject_err;
	struct copy_job job;
	int code;
	bool ready, ok;

	options.image = a->image;
	options.bmap = a->bmap;
	options.bmap_signature = a->signature.bmap_sig;
	options.no_signature = a->signature.no_sig_verify;
	options.keyring = a->signature.keyring;
	options.fingerprint = a->signature.fingerprint;
	options.member = a->member;
	options.targets = targets->names;
	options.target_count = targets->count;
	options.no_bmap = a->no_bmap;
	options.no_verify = a->no_verify;
	if (a->read_back || a->no_read_back)
		options.read_back = a->read_back ? BMAP_CHOICE_YES : BMAP_CHOICE_NO;
	options.removable_only = a->removable_only;
	options.allow_dev_files = a->allow_dev_files;
	options.memory_bytes = a->memory_bytes;
	options.queue_depth = a->queue_depth;
	options.workers = a->workers;
	options.stall_seconds = a->stall_seconds;
	options.straggler = (enum bmap_straggler)a->straggler;
	if (a->expect_size)
		size_range_parse(a->expect_size, &options.expect.least_bytes,
				 &options.expect.most_bytes);
	options.expect.model = a->expect_model;
	options.expect.count = a->expect_count;
	options.log = &run->out.log;
	options.stop = run->stop;
	options.progress = on_progress;
	options.progress_user = &job;
	ready = copy_record_begin(&job.record, run, &a->record, &options, &err);
	if (ready && refusal) {
		ready = false;
		err = *refusal;
	}
	copy_watch_begin(&job.watch, &run->out, a->psplash_pipe, options.targets,
			 options.target_count);
	ok = ready && bmap_flash(&options, &result, &err);
	copy_watch_end(&job.watch, ok);
	code = copy_say_result(run, &result, ok ? NULL : &err);
	if (a->eject) {
		code = copy_eject(run, &result, code, &eject_err);
		/* For who reads the record: the job was not all that was asked of it. */
		if (ok && eject_err.code != BMAP_ERR_NONE) {
			ok = false;
			err = eject_err;
		}
	}
	code = copy_record_end(&job.record, &result, ok ? NULL : &err, code);
	bmap_flash_result_free(&result);
	return code;
}

static int run_copy(struct run *run, const void *opaque)
{
	const struct copy_args *a = opaque;
	struct copy_targets targets;
	struct bmap_error err;
	bool good = copy_targets_collect(&targets, a, run->stop, &err);
	int code = flash(run, a, good ? &targets : &(struct copy_targets){ 0 }, good ? NULL : &err);

	copy_targets_free(&targets);
	return code;
}
