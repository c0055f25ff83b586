/* SPDX-License-Identifier: MIT */
/* cli/copy_record.h - what programs are told of a copy: events (--json) and the report (--report).
 *
 * Threads: the main one. */
#ifndef CLI_COPY_RECORD_H
#define CLI_COPY_RECORD_H

#include "cli/command.h"
#include "cli/output_json.h"

struct record_args {
	bool json;
	const char *report, *job_id;
};

#define RECORD_OPTIONS(type)                                                                       \
	{ OPTION_FLAG, "json", .added = true, .place = offsetof(type, record.json),                \
	  .help = "write events to standard output, one JSON object a line, instead of a "         \
		  "progress line" },                                                               \
		{ OPTION_TEXT,                                                                     \
		  "report",                                                                        \
		  .added = true,                                                                   \
		  .value_name = "FILE",                                                            \
		  .place = offsetof(type, record.report),                                          \
		  .help = "write a JSON document about this run to FILE at its end, also of one "  \
			  "that failed; the image file is hashed for it" },                        \
	{                                                                                          \
		OPTION_TEXT, "job-id", .added = true, .value_name = "TEXT",                        \
				       .place = offsetof(type, record.job_id),                     \
				       .help = "what events and report call this run (default: a " \
					       "random UUID)"                                      \
	}

bool record_args_check(const struct record_args *args, char *error);

struct copy_record {
	struct run *run; /* borrowed */
	struct job_record job;
	bool has_report, has_events;
	struct json_events events; /* if has_events */
};

/* Takes options as they will be used, and adds what it needs. False: nothing may be flashed; err is
 * for copy_record_end(), which is called in any case. */
bool copy_record_begin(struct copy_record *record, struct run *run, const struct record_args *args,
		       struct bmap_flash_options *options, struct bmap_error *err);
void copy_record_progress(struct copy_record *record, const struct bmap_flash_progress *progress);
/* err: NULL, or why the job failed, which was said. code: the exit code so far. Returns what it is
 * now: a report that cannot be written is a failure. */
int copy_record_end(struct copy_record *record, const struct bmap_flash_result *result,
		    const struct bmap_error *err, int code);

#endif
