/* SPDX-License-Identifier: MIT */
/* bmaptool list: what could be written to. */
#include "cli/command.h"
#include "cli/list.h"

#include <stdlib.h>
#include <string.h>

struct list_args {
	struct common_args common;
	struct text_list devices;
	bool all, json;
};

#define PLACE(member) .place = offsetof(struct list_args, member)

static const struct option_def option_rows[] = {
	{ OPTION_GROUP, .help = "what is shown" },
	{ OPTION_FLAG, "all", PLACE(all),
	  .help = "also drives without a medium, loop devices without a file, and disks of memory "
		  "(ram, zram)" },
	{ OPTION_FLAG, "json", PLACE(json),
	  .help = "print one JSON document (docs/list.schema.json)" },

	COMMON_OPTIONS(struct list_args),
};

static bool may_be_missing(const void *args)
{
	(void)args;
	return true;
}

static const struct argument_def argument_rows[] = {
	{ "[DEVICE]", "show only these; each may be a partition too (default: all disks)",
	  offsetof(struct list_args, devices), .many = true, .given_otherwise = may_be_missing },
};

static int run_list(struct run *run, const void *args);

const struct command command_list = {
	.name = "list",
	.summary = "show the devices that could be written, and why others could not",
	.description = "Prints a line for each disk on standard output: what it is, what is on it, "
		       "and\n"
		       "\"ok\" or why copy would refuse it. Nothing is written.\n",
	.table = { option_rows, COUNT_OF(option_rows), argument_rows, COUNT_OF(argument_rows),
		   false },
	.args_bytes = sizeof(struct list_args),
	.run = run_list,
};

static bool worth_showing(const struct bmap_device *device)
{
	return device->size_bytes && (!device->transport || strcmp(device->transport, "ram") != 0);
}

static void drop_dull(struct bmap_device_list *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++)
		if (worth_showing(&list->devices[i]))
			list->devices[kept++] = list->devices[i];
		else
			bmap_device_free(&list->devices[i]);
	list->count = kept;
}

static int show(struct run *run, const struct list_args *a, const struct bmap_device_list *list)
{
	if (a->json && !list_json(stdout, list)) {
		output_error(&run->out, "cannot make the JSON document: no memory");
		return EXIT_FAILED;
	}
	if (!a->json && list->count)
		list_text(stdout, list);
	else if (!a->json)
		output_info(&run->out, "there is no disk to show%s",
			    a->all ? "" : " (--all shows those without a medium)");
	return output_flush_stdout(&run->out) ? EXIT_OK : EXIT_FAILED;
}

static int list_all(struct run *run, const struct list_args *a)
{
	struct bmap_device_list list;
	struct bmap_error err;
	int code;

	if (!bmap_device_list_read(&list, &err))
		return report_failure(run, &err);
	if (!a->all)
		drop_dull(&list);
	code = show(run, a, &list);
	bmap_device_list_free(&list);
	return code;
}

/* One that cannot be read is an error; the others are shown. */
static int list_named(struct run *run, const struct list_args *a)
{
	struct bmap_device_list list = { calloc(a->devices.count, sizeof(*list.devices)), 0 };
	struct bmap_error err;
	int code = EXIT_OK, shown;

	if (!list.devices) {
		output_error(&run->out, "no memory for a list of devices");
		return EXIT_FAILED;
	}
	for (size_t i = 0; i < a->devices.count; i++) {
		if (bmap_device_read(a->devices.texts[i], &list.devices[list.count], &err))
			list.count++;
		else
			code = report_failure(run, &err);
	}
	shown = list.count ? show(run, a, &list) : EXIT_FAILED;
	bmap_device_list_free(&list);
	return code ? code : shown;
}

static int run_list(struct run *run, const void *opaque)
{
	const struct list_args *a = opaque;

	return a->devices.count ? list_named(run, a) : list_all(run, a);
}
