/* SPDX-License-Identifier: MIT */
/* bmaptool bench: how fast a device or file is. */
#include "cli/bench.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SECONDS (BMAP_BENCH_MAX_DURATION_MS / 1000u)

struct bench_args {
	struct common_args common;
	const char *target, *ops, *block_sizes, *depths, *json, *pattern;
	uint64_t scratch_bytes;
	unsigned seconds;
	bool full, write;
};

#define PLACE(member) .place = offsetof(struct bench_args, member)

static const struct option_def option_rows[] = {
	{ OPTION_GROUP, .help = "what is measured" },
	{ OPTION_FLAG, "full", PLACE(full),
	  .help = "all sizes from 4 KiB to 16 MiB at all depths from 1 to 64: about five minutes "
		  "with --write eleven (default: a choice of eight, about half a minute)" },
	{ OPTION_FLAG, "write", PLACE(write),
	  .help = "measure writes, too; ALL DATA ON A DEVICE IS LOST. With a regular file or a "
		  "folder a scratch file is written, which leaves nothing behind" },
	{ OPTION_TEXT, "op", .value_name = "OP,...", PLACE(ops),
	  .help = "these: read (in order), randread, and with --write also write, randwrite "
		  "(default: "
		  "read, with --write also write; with --full all)" },
	{ OPTION_TEXT, "block-size", .value_name = "SIZE,...", PLACE(block_sizes),
	  .help = "requests of these sizes, from 4K to 16M (default: 1M, random ones 4K)" },
	{ OPTION_TEXT, "depth", .value_name = "N,...", PLACE(depths),
	  .help = "so many requests in flight, from 1 to 64 (default: 1,8,32)" },
	{ OPTION_COUNT, "time", .value_name = "SECONDS", PLACE(seconds), .max = MAX_SECONDS,
	  .help = "measure each point for so long (default: 3); a tenth more, at most half a "
		  "second, goes before and is not counted" },

	{ OPTION_GROUP, .help = "what is written" },
	{ OPTION_TEXT, "pattern", .value_name = "PATTERN", PLACE(pattern),
	  .help = "random: data that cannot be compressed (the default), or zero" },
	{ OPTION_SIZE, "scratch-size", .value_name = "SIZE", PLACE(scratch_bytes),
	  .help = "of the scratch file in a folder, at least 16M (default: 1G, at most half of "
		  "what is free; less where filling it would take more than 10 seconds)" },

	{ OPTION_GROUP, .help = "output" },
	{ OPTION_TEXT, "json", .value_name = "FILE", PLACE(json),
	  .help = "also write all that was measured as a JSON document "
		  "(docs/bench.schema.json)" },

	COMMON_OPTIONS(struct bench_args),
};

static const struct argument_def argument_rows[] = {
	{ "TARGET",
	  "a block device, also one that is mounted if it is only read, a regular file, or a "
	  "folder, in which a scratch file is made",
	  offsetof(struct bench_args, target) },
};

static bool check(const void *args, char *error);
static int run_bench(struct run *run, const void *args);

const struct command command_bench = {
	.name = "bench",
	.summary = "measure how fast a device or file is",
	.description =
		"Reads TARGET in several ways and prints for each the throughput, the requests a\n"
		"second, how long they took (half of them at most p50, ..., 999 of 1000 at most\n"
		"p99.9), and the processor time it costs. Without --write nothing on a device or\n"
		"in a file changes.\n"
		"^C ends it and prints what was measured so far.\n",
	.table = { option_rows, COUNT_OF(option_rows), argument_rows, COUNT_OF(argument_rows),
		   false },
	.args_bytes = sizeof(struct bench_args),
	.check = check,
	.run = run_bench,
};

static struct bench_choice choice_of(const struct bench_args *a)
{
	return (struct bench_choice){ a->ops,     a->block_sizes, a->depths,
				      a->seconds, a->full,        a->write };
}

static bool check(const void *opaque, char *error)
{
	const struct bench_args *a = opaque;
	const struct bench_choice choice = choice_of(a);
	struct bench_plan plan;

	if (a->pattern && strcmp(a->pattern, "random") && strcmp(a->pattern, "zero")) {
		snprintf(error, OPTION_ERROR_ROOM, "--pattern: '%.40s' is not random or zero",
			 a->pattern);
		return false;
	}
	if (!bench_plan_make(&choice, &plan, error))
		return false;
	bench_plan_free(&plan);
	return true;
}

struct bench_run {
	struct run *run;
	const struct bench_args *args;
	struct bench_plan plan;
	uint64_t start_ns;
	struct bmap_device device;
	bool is_device;
	json_t *document; /* NULL: not wanted, or no memory for it */
};

/* As much of line as fits the terminal. */
static void draw(struct output *out, char *line)
{
	size_t columns = output_size(out).columns;

	if (columns >= 1 && strlen(line) >= columns)
		line[columns - 1] = '\0';
	output_draw(out, line);
}

/* Before anything is overwritten. */
static void warn(const struct bench_run *b)
{
	char *text = bench_content_text(&b->device);

	output_warning(&b->run->out, "%.500s: everything on it will be overwritten: %.900s",
		       b->args->target, text ? text : "");
	free(text);
}

static void on_filling(void *user, uint64_t done_bytes, uint64_t total_bytes)
{
	struct bench_run *b = user;
	struct output *out = &b->run->out;
	char line[128], done[TEXT_ROOM], total[TEXT_ROOM];

	if (!out->live)
		return;
	snprintf(line, sizeof(line), PROGRESS_PREFIX "making the scratch file: %s of %s",
		 text_size(done, done_bytes), text_size(total, total_bytes));
	draw(out, line);
}

static void on_opened(void *user, const struct bmap_bench_target *target)
{
	struct bench_run *b = user;
	const struct bmap_device *device;

	b->is_device = target->kind == BMAP_BENCH_DEVICE &&
		       bmap_device_read(b->args->target, &b->device, NULL);
	device = b->is_device ? &b->device : NULL;
	if (b->run->out.live)
		output_draw(&b->run->out, "");
	if (device && b->args->write)
		warn(b);
	bench_table_title(stdout, b->args->target, target, device);
	bench_table_head(stdout);
	fflush(stdout);
	if (b->args->json)
		b->document = bench_json(b->args->target, target, device, b->args->write);
	b->start_ns = monotonic_ns();
}

/* "bmaptool: info: 3 of 8: sequential read 1 MiB, depth 8: 812.3 MiB/s, 0:14 left" */
static void on_progress(void *user, size_t point, uint64_t elapsed_ns, uint64_t total_ns,
			uint64_t bytes)
{
	struct bench_run *b = user;
	const struct bmap_bench_point *p = &b->plan.points[point];
	struct output *out = &b->run->out;
	uint64_t all_ns = bench_plan_ns(&b->plan), spent_ns = monotonic_ns() - b->start_ns;
	char line[OUTPUT_MAX_COLUMNS + 1], block[TEXT_ROOM], left[TEXT_ROOM];

	(void)elapsed_ns, (void)total_ns;
	signals_set_state("%.500s: %zu of %zu points were measured", b->args->target, point,
			  b->plan.count);
	if (!out->live)
		return;
	snprintf(line, sizeof(line), PROGRESS_PREFIX "%zu of %zu: %s %s, depth %u%s, %s left",
		 point + 1, b->plan.count, bench_op_text(p),
		 bench_block_text(block, p->block_bytes), p->depth, bytes ? "" : " (settling)",
		 text_clock(left, (all_ns > spent_ns ? all_ns - spent_ns : 0) / 1000000000u));
	draw(out, line);
}

static void on_measured(void *user, size_t point, const struct bmap_bench_result *result)
{
	struct bench_run *b = user;

	(void)point;
	if (b->run->out.live)
		output_draw(&b->run->out, "");
	bench_table_row(stdout, result);
	fflush(stdout);
	if (b->document && !bench_json_point(b->document, result)) {
		json_decref(b->document);
		b->document = NULL;
	}
}

static int finish(struct bench_run *b, bool good, const struct bmap_error *err)
{
	struct bmap_error save = { 0 };
	int code = EXIT_OK;

	if (b->run->out.live) {
		output_draw(&b->run->out, "");
		output_end_line(&b->run->out);
	}
	if (b->args->json && b->start_ns && !b->document) {
		output_error(&b->run->out, "%s: not written: no memory", b->args->json);
		code = EXIT_FAILED;
	} else if (b->document && !bench_json_save(b->document, good, b->args->json, &save)) {
		output_error(&b->run->out, "%s", save.text);
		code = EXIT_FAILED;
	}
	/* A full disk must not pass for a result. */
	if (fflush(stdout) || ferror(stdout)) {
		output_error(&b->run->out, "cannot write to standard output: %s", strerror(errno));
		code = EXIT_FAILED;
	}
	return good ? code : report_failure(b->run, err);
}

static int run_bench(struct run *run, const void *opaque)
{
	const struct bench_args *a = opaque;
	const struct bench_choice choice = choice_of(a);
	struct bmap_bench_options options = BMAP_BENCH_OPTIONS_INIT;
	struct bench_run b = { .run = run, .args = a };
	struct bmap_error err = { 0 };
	char error[OPTION_ERROR_ROOM];
	bool ok = true;
	int code;

	if (!bench_plan_make(&choice, &b.plan, error)) {
		output_error(&run->out, "%s", error);
		return EXIT_FAILED;
	}
	if (a->json) /* before half a minute of work */
		ok = bmap_file_save_check(a->json, "the results", &err);
	signals_set_state("%.500s: nothing was measured", a->target);
	options.target = a->target;
	options.points = b.plan.points;
	options.point_count = b.plan.count;
	options.write = a->write;
	if (a->pattern && !strcmp(a->pattern, "zero"))
		options.pattern = BMAP_BENCH_ZERO;
	options.scratch_bytes = a->scratch_bytes;
	options.log = &run->out.log;
	options.stop = run->stop;
	options.filling = on_filling;
	options.opened = on_opened;
	options.progress = on_progress;
	options.measured = on_measured;
	options.user = &b;
	ok = ok && bmap_bench(&options, &err);
	code = finish(&b, ok, &err);
	json_decref(b.document);
	if (b.is_device)
		bmap_device_free(&b.device);
	bench_plan_free(&b.plan);
	return code;
}
