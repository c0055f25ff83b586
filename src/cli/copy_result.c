/* SPDX-License-Identifier: MIT */
#include "cli/copy.h"
#include "cli/text.h"

#include <string.h>

static void report_success(struct run *run, const struct bmap_flash_result *result)
{
	const struct bmap_target_report *one = &result->targets[0];
	char size[TEXT_ROOM], time[TEXT_ROOM], speed[TEXT_ROOM];

	if (result->target_count == 1 && one->read_back)
		output_info(&run->out, "%s: read back %s in %s: all as it was written", one->name,
			    text_size(size, one->read_back_bytes),
			    text_time(time, one->read_back_ns));
	output_info(&run->out, "copying time: %s, copying speed %s",
		    text_time(time, result->elapsed_ns),
		    text_speed(speed, result->mapped_bytes, result->elapsed_ns));
}

static bool has_error(const struct bmap_target_report *target, const struct bmap_error *err)
{
	return target->error && !strcmp(target->error->text, err->text);
}

/* One error for all, or for those that nothing of their own had stopped, if only one: said once. */
static bool is_shared(const struct bmap_flash_result *result, const struct bmap_error *err)
{
	size_t count = 0;

	for (size_t i = 0; i < result->target_count; i++)
		if (has_error(&result->targets[i], err) &&
		    (++count > 1 || !target_own_reason(&result->targets[i])))
			return true;
	return false;
}

static bool is_everybodys(const struct bmap_flash_result *result, const struct bmap_error *err)
{
	for (size_t i = 0; i < result->target_count; i++)
		if (!has_error(&result->targets[i], err))
			return false;
	return true;
}

static bool any_begun(const struct bmap_flash_result *result)
{
	for (size_t i = 0; i < result->target_count; i++)
		if (result->targets[i].pass)
			return true;
	return false;
}

/* The last line: the error that all share, or whose rows to look at. */
static int report_failed_targets(struct run *run, const struct bmap_flash_result *result,
				 const struct bmap_error *err)
{
	struct bmap_error last = { .code = err->code };
	size_t failed = 0, len = 0;

	if (is_shared(result, err))
		return report_failure(run, err);
	for (size_t i = 0; i < result->target_count; i++)
		failed += result->targets[i].error != NULL;
	len = (size_t)snprintf(last.text, sizeof(last.text), "%zu of %zu targets %s:", failed,
			       result->target_count,
			       err->code == BMAP_ERR_INTERRUPTED ? "incomplete" : "failed");
	for (size_t i = 0; i < result->target_count && len < sizeof(last.text); i++)
		if (result->targets[i].error)
			len += (size_t)snprintf(last.text + len, sizeof(last.text) - len, " %s",
						result->targets[i].name);
	return report_failure(run, &last);
}

int copy_say_result(struct run *run, const struct bmap_flash_result *result,
		    const struct bmap_error *err)
{
	bool several = result->target_count > 1;
	bool all_share = err && is_everybodys(result, err) && !any_begun(result);

	if (several && !all_share)
		target_table_print(&run->out, result, err);
	if (err && several)
		return report_failed_targets(run, result, err);
	if (err)
		return report_failure(run, err);
	report_success(run, result);
	return EXIT_OK;
}
