/* SPDX-License-Identifier: MIT */
/* bmaptool report: what a bmap says, and what two of them differ in. */
#include "cli/command.h"
#include "cli/report.h"

#include <langinfo.h>
#include <locale.h>
#include <string.h>

#define STRIP_COLUMNS 64u
#define STRIP_ROWS 16u
#define STRIP_MAX_COLUMNS 200u

struct report_args {
	struct common_args common;
	const char *input, *bmap, *older, *speed, *plot;
	bool ranges, json, map;
	struct signature_args signature;
};

#define PLACE(member) .place = offsetof(struct report_args, member)

static const struct option_def option_rows[] = {
	{ OPTION_GROUP, .help = "the map" },
	{ OPTION_TEXT, "bmap", .value_name = "FILE", PLACE(bmap),
	  .help = "the bmap of an image (default: looked for beside the image, as copy does)" },
	SIGNATURE_OPTIONS(struct report_args),

	{ OPTION_GROUP, .help = "what is shown" },
	{ OPTION_FLAG, "ranges", PLACE(ranges),
	  .help = "also list each range with its checksum; with --diff, each that differs" },
	{ OPTION_FLAG, "map", PLACE(map),
	  .help = "also draw the image as lines of characters: the darker, the more is mapped" },
	{ OPTION_TEXT, "plot", .value_name = "FILE", PLACE(plot),
	  .help = "draw it as a picture, .svg or .png, with the partitions of an image that is not "
		  "compressed" },
	{ OPTION_TEXT, "speed", .value_name = "SPEED,...", PLACE(speed),
	  .help = "tell how long a flash takes at these speeds of a device in bytes a second "
		  "(default: 20M,100M,500M,2G)" },
	{ OPTION_TEXT, "diff", .value_name = "OLDER", PLACE(older),
	  .help = "compare with this older bmap: which ranges changed, and how many bytes have to "
		  "be written" },
	{ OPTION_FLAG, "json", PLACE(json),
	  .help = "print one JSON document (docs/bmap-report.schema.json)" },

	COMMON_OPTIONS(struct report_args),
};

static const struct argument_def argument_rows[] = {
	{ "BMAP_OR_IMAGE", "a bmap, or an image that has one beside it: a file, a URL, or - ",
	  offsetof(struct report_args, input) },
};

static bool check(const void *args, char *error);
static int run_report(struct run *run, const void *args);

const struct command command_report = {
	.name = "report",
	.summary = "tell what is in a bmap, or what changed between two",
	.description = "Prints the facts of a bmap on standard output. One that is broken is shown "
		       "as far as\n"
		       "it can be read; what is wrong with it is said, and the exit status is 1.\n",
	.table = { option_rows, COUNT_OF(option_rows), argument_rows, COUNT_OF(argument_rows),
		   false },
	.args_bytes = sizeof(struct report_args),
	.check = check,
	.run = run_report,
};

static bool check(const void *opaque, char *error)
{
	const struct report_args *a = opaque;
	const struct conflict pairs[] = {
		{ a->older != NULL, a->map, "--diff and --map" },
		{ a->older != NULL, a->speed != NULL, "--diff and --speed" },
		{ a->older != NULL, a->plot != NULL, "--diff and --plot" },
		{ a->json, a->map, "--json and --map" },
	};
	struct report_speeds speeds;

	return conflicts_check(pairs, COUNT_OF(pairs), error) &&
	       signature_args_check(&a->signature, error) &&
	       (!a->plot || report_plot_check(a->plot, error)) &&
	       (!a->speed || report_speeds_parse(a->speed, &speeds, error));
}

static bool read_report(struct run *run, const struct report_args *a, const char *input,
			struct bmap_report *report, struct bmap_error *err)
{
	struct bmap_report_options options = BMAP_REPORT_OPTIONS_INIT;

	options.input = input;
	options.bmap = input == a->input ? a->bmap : NULL;
	options.bmap_signature = a->signature.bmap_sig;
	options.no_signature = a->signature.no_sig_verify;
	options.keyring = a->signature.keyring;
	options.fingerprint = a->signature.fingerprint;
	options.log = &run->out.log;
	options.stop = run->stop;
	return bmap_report_read(&options, report, err);
}

static void draw_map(struct run *run, const struct bmap_map *map)
{
	unsigned columns = output_size(&run->out).columns;

	setlocale(LC_CTYPE, "");
	if (!run->out.live || columns <= 1)
		columns = STRIP_COLUMNS;
	columns = columns > STRIP_MAX_COLUMNS ? STRIP_MAX_COLUMNS : columns;
	report_strip(stdout, map, columns, STRIP_ROWS, !strcmp(nl_langinfo(CODESET), "UTF-8"));
}

static int report_one(struct run *run, const struct report_args *a)
{
	struct report_speeds speeds;
	struct bmap_report report;
	struct bmap_error err = { 0 };
	char error[OPTION_ERROR_ROOM];
	bool good = read_report(run, a, a->input, &report, &err);
	bool shown = true, drawn = true;
	struct bmap_error plot_err = { 0 };
	int code;

	report_speeds_parse(a->speed ? a->speed : "20M,100M,500M,2G", &speeds, error);
	if (a->json && (good || report.map)) {
		shown = report_json(stdout, &report, &speeds, a->ranges, good ? NULL : &err);
	} else if (report.map) {
		report_text(stdout, &report, &speeds);
		if (a->ranges)
			report_text_ranges(stdout, report.map);
		if (a->map)
			draw_map(run, report.map);
	}
	if (a->plot && report.map && report.map->image_size_bytes)
		drawn = report_plot(a->plot, &report, &plot_err);
	fflush(stdout); /* before the line that says what is wrong */
	bmap_report_free(&report);
	if (!shown) {
		output_error(&run->out, "cannot make the JSON document: no memory");
		return EXIT_FAILED;
	}
	code = good ? EXIT_OK : report_failure(run, &err);
	if (!drawn) {
		output_error(&run->out, "%s", plot_err.text);
		code = good ? EXIT_FAILED : code;
	}
	return output_flush_stdout(&run->out) ? code : EXIT_FAILED;
}

static int report_two(struct run *run, const struct report_args *a)
{
	struct bmap_report older = { 0 }, newer = { 0 };
	struct bmap_error err = { 0 };
	int code = EXIT_OK;

	if (!read_report(run, a, a->older, &older, &err) ||
	    !read_report(run, a, a->input, &newer, &err)) {
		code = report_failure(run, &err);
	} else if (!a->json) {
		report_difference(stdout, &older, &newer, a->ranges);
	} else if (!report_difference_json(stdout, &older, &newer, a->ranges)) {
		output_error(&run->out, "cannot make the JSON document: no memory");
		code = EXIT_FAILED;
	}
	bmap_report_free(&older);
	bmap_report_free(&newer);
	return output_flush_stdout(&run->out) ? code : EXIT_FAILED;
}

static int run_report(struct run *run, const void *opaque)
{
	const struct report_args *a = opaque;

	return a->older ? report_two(run, a) : report_one(run, a);
}
