/* SPDX-License-Identifier: MIT */
#include "cli/output_json.h"
#include "cli/flash_json.h"

#include <stdlib.h>

#define SCHEMA_VERSION 1
#define PROGRESS_NS 500000000u /* twice a second at most */

static void say_start(struct json_events *events, const struct bmap_image_report *image,
		      bool read_back);
static void say_targets(struct json_events *events, const struct bmap_target_report *targets,
			size_t count);
static void say_end_of(struct json_events *events, const struct bmap_image_report *image,
		       const struct bmap_target_report *target, size_t index);
static void say_progress(struct json_events *events, const struct bmap_flash_progress *progress);
static void say_error(struct json_events *events, const struct bmap_error *err,
		      const struct bmap_target_report *target, size_t index);
static void say_summary(struct json_events *events, const struct bmap_flash_result *result,
			const struct bmap_error *err, const struct bmap_error *report_err,
			int exit_code);

void json_events_begin(struct json_events *events, int fd, struct output *out,
		       const struct bmap_stop *stop, const struct job_record *record)
{
	*events = (struct json_events){ .record = record };
	json_lines_begin(&events->lines, fd, out, stop);
	events->seen = calloc(record->options->target_count, sizeof(*events->seen));
}

static void say(struct json_events *events, const char *name, json_t *members)
{
	json_t *event = json_pack("{s:s,s:o}", "event", name, "time", json_time_now());

	json_lines_put(&events->lines, json_join(event, members), false);
}

static void begin_once(struct json_events *events, const struct bmap_image_report *image,
		       bool read_back, const struct bmap_target_report *targets, size_t count)
{
	if (events->started)
		return;
	events->started = true;
	say_start(events, image, read_back);
	say_targets(events, targets, count);
}

void json_events_progress(struct json_events *events, const struct bmap_flash_progress *progress)
{
	if (!events->seen)
		return;
	json_lines_flush(&events->lines);
	begin_once(events, progress->image, progress->read_back, progress->targets,
		   progress->target_count);
	for (size_t i = 0; i < progress->target_count; i++)
		if (progress->targets[i].state == BMAP_TARGET_FAILED ||
		    progress->targets[i].released)
			say_end_of(events, progress->image, &progress->targets[i], i);
	if (progress->elapsed_ns - events->progress_ns >= PROGRESS_NS)
		say_progress(events, progress);
}

void json_events_end(struct json_events *events, const struct bmap_flash_result *result,
		     const struct bmap_error *err, const struct bmap_error *report_err,
		     int exit_code)
{
	size_t count = events->seen ? result->target_count : 0;

	begin_once(events, &result->image, result->read_back, result->targets,
		   result->target_count);
	if (err && !error_is_of_a_target(result, err))
		say_error(events, err, NULL, 0);
	for (size_t i = 0; i < count; i++)
		say_end_of(events, &result->image, &result->targets[i], i);
	if (report_err)
		say_error(events, report_err, NULL, 0);
	say_summary(events, result, err, report_err, exit_code);
	json_lines_end(&events->lines);
	free(events->seen);
}

static json_t *names_of_targets(const struct bmap_flash_options *options)
{
	json_t *names = json_array();

	for (size_t i = 0; i < options->target_count; i++) {
		const char *name = options->targets[i];

		names = json_append(names, json_pack("{s:o,s:o*}", "target", json_text(name),
						     "target_hex", json_text_hex(name)));
	}
	return names;
}

static void say_start(struct json_events *events, const struct bmap_image_report *image,
		      bool read_back)
{
	const struct job_record *record = events->record;

	say(events, "start",
	    json_pack("{s:i,s:s,s:o,s:s,s:s,s:o,s:o,s:b}", "schema", SCHEMA_VERSION, "command",
		      "copy", "job", json_text(record->id), "tool", "bmaptool", "version",
		      bmap_version(), "image", json_image(image, record->image_name), "targets",
		      names_of_targets(record->options), "read_back", (int)read_back));
}

static void say_targets(struct json_events *events, const struct bmap_target_report *targets,
			size_t count)
{
	for (size_t i = 0; i < count; i++)
		say(events, "target", json_identity(&targets[i], i));
}

static json_t *name_target(const struct bmap_target_report *target, size_t index)
{
	return json_pack("{s:o,s:o,s:o*}", "index", json_number(index), "target",
			 json_text(target->name), "target_hex", json_text_hex(target->name));
}

/* Of a target that is final; once. */
static void say_end_of(struct json_events *events, const struct bmap_image_report *image,
		       const struct bmap_target_report *target, size_t index)
{
	if (events->seen[index].done)
		return;
	events->seen[index].done = true;
	if (target->error && !target->whole_job)
		say_error(events, target->error, target, index);
	say(events, "target-done",
	    json_join(name_target(target, index), json_outcome(target, image)));
}

static json_t *target_progress(struct seen_target *seen, const struct bmap_target_report *target,
			       size_t index, uint64_t since_ns)
{
	uint64_t before = seen->pass == target->pass ? seen->bytes : 0;
	uint64_t bytes = target->completed_bytes > before ? target->completed_bytes - before : 0;

	seen->pass = target->pass;
	seen->bytes = target->completed_bytes;
	return json_join(name_target(target, index),
			 json_pack("{s:s,s:i,s:o,s:o,s:o}", "state",
				   target_state_word(target->state), "pass", (int)target->pass,
				   "written_bytes", json_number(target->completed_bytes),
				   "read_back_bytes", json_number(target->read_back_bytes),
				   "bytes_per_second", json_speed(bytes, since_ns)));
}

static void say_progress(struct json_events *events, const struct bmap_flash_progress *progress)
{
	uint64_t since_ns = progress->elapsed_ns - events->progress_ns;
	json_t *list = json_array();

	events->progress_ns = progress->elapsed_ns;
	for (size_t i = 0; i < progress->target_count; i++)
		list = json_append(list, target_progress(&events->seen[i], &progress->targets[i], i,
							 since_ns));
	json_lines_put(&events->lines,
		       json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:o}", "event", "progress", "time",
				 json_time_now(), "elapsed_ms", json_ms(progress->elapsed_ns),
				 "total_bytes", json_number_or_null(progress->total_bytes),
				 "source_read_bytes", json_number(progress->source_read_bytes),
				 "source_total_bytes",
				 json_number_or_null(progress->source_total_bytes), "targets",
				 list),
		       true);
}

static void say_error(struct json_events *events, const struct bmap_error *err,
		      const struct bmap_target_report *target, size_t index)
{
	json_t *whose =
		target ? name_target(target, index) : json_pack("{s:n,s:n}", "index", "target");

	say(events, "error", json_join(whose, json_error(err, target != NULL)));
}

static void say_summary(struct json_events *events, const struct bmap_flash_result *result,
			const struct bmap_error *err, const struct bmap_error *report_err,
			int exit_code)
{
	const struct job_record *record = events->record;
	struct target_counts counts = count_targets(result, record->options->target_count, err);
	const char *path = report_err ? NULL : record->report_path;

	say(events, "summary",
	    json_pack("{s:o,s:s,s:i,s:{s:o,s:o,s:o,s:o},s:o,s:o,s:o,s:o,s:o,s:o,s:o*}", "job",
		      json_text(record->id), "verdict", job_verdict_word(err ? err : report_err),
		      "exit_code", exit_code, "targets", "named", json_number(counts.named),
		      "success", json_number(counts.good), "failed", json_number(counts.failed),
		      "interrupted", json_number(counts.interrupted), "written_bytes",
		      json_number(result->mapped_bytes), "image_size_bytes",
		      json_number_or_null(result->image_bytes), "elapsed_ms",
		      json_ms(result->elapsed_ns), "flush_ms", json_ms(result->flush_ns),
		      "file_sha256", json_text(result->image.file_digest), "report",
		      json_text(path), "report_hex", json_text_hex(path)));
}
