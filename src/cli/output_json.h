/* SPDX-License-Identifier: MIT */
/* cli/output_json.h - the events of a flash on standard output: docs/json.md,
 * docs/events.schema.json.
 *
 * They come from comparing what the job reports with what was said before. A target's failure is
 * told when it is reported; success when the target was let go of, at the end of its pass;
 * interruption when the job has ended.
 * Threads: the one that the progress callback runs on. */
#ifndef CLI_OUTPUT_JSON_H
#define CLI_OUTPUT_JSON_H

#include "cli/job_record.h"
#include "cli/json_lines.h"

struct json_events {
	struct json_lines lines;
	const struct job_record *record; /* borrowed */
	bool started; /* the events start and target were written */
	uint64_t progress_ns; /* when the last one was, since the job began; 0: none yet */
	struct seen_target {
		bool done; /* the event target-done was written */
		uint64_t bytes; /* in the last event progress, in that pass */
		unsigned pass;
	} * seen; /* of each target; NULL: no memory */
};

void json_events_begin(struct json_events *events, int fd, struct output *out,
		       const struct bmap_stop *stop, const struct job_record *record);
void json_events_progress(struct json_events *events, const struct bmap_flash_progress *progress);
/* err: why the job failed, NULL: a success. report_err: why its report could not be written, else
 * NULL. The last call. */
void json_events_end(struct json_events *events, const struct bmap_flash_result *result,
		     const struct bmap_error *err, const struct bmap_error *report_err,
		     int exit_code);

#endif
