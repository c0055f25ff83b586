/* SPDX-License-Identifier: MIT */
#include "cli/copy.h"
#include "cli/text.h"

#include <string.h>

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

int copy_say_result(struct run *run, const struct bmap_flash_result *result,
		    const struct bmap_error *err)
{
	if (err)
		return report_copy_failure(run, result, err);
	report_success(run, result);
	return EXIT_OK;
}
