/* SPDX-License-Identifier: MIT */
#include "cli/copy_record.h"
#include "cli/report_file.h"
#include "cli/signals.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool record_args_check(const struct record_args *args, char *error)
{
	const char *wrong = NULL;

	if (args->job_id && !args->json && !args->report)
		wrong = "--job-id is for --json and --report: neither was given";
	else if (args->job_id && !job_id_is_good(args->job_id))
		wrong = "--job-id: not a text of 1 to 255 bytes of UTF-8 without control "
			"characters";
	else if (args->report && (!*args->report || !strcmp(args->report, "-")))
		wrong = "--report needs the name of a file";
	if (wrong)
		snprintf(error, OPTION_ERROR_ROOM, "%s", wrong);
	return !wrong;
}

bool copy_record_begin(struct copy_record *record, struct run *run, const struct record_args *args,
		       struct bmap_flash_options *options, struct bmap_error *err)
{
	*record = (struct copy_record){ .run = run };
	job_record_begin(&record->job, options, args->job_id, args->report);
	options->digest_image = args->report != NULL;
	/* Events in the image that is being written would be the end of it. */
	if (args->json && !bmap_flash_check_output(options, "/dev/stdout", err))
		return false;
	if (args->json) {
		run->out.live = false;
		run->out.events = true;
		json_events_begin(&record->events, STDOUT_FILENO, &run->out, run->stop,
				  &record->job);
		record->has_events = true;
	}
	if (!args->report)
		return true;
	record->has_report = bmap_flash_check_output(options, args->report, err) &&
			     report_file_check(&record->job, err);
	if (!record->has_report)
		record->job.report_path = NULL;
	return record->has_report;
}

void copy_record_progress(struct copy_record *record, const struct bmap_flash_progress *progress)
{
	if (record->has_events)
		json_events_progress(&record->events, progress);
}

int copy_record_end(struct copy_record *record, const struct bmap_flash_result *result,
		    const struct bmap_error *err, int code)
{
	struct bmap_error report_err;
	bool kept = !record->has_report ||
		    report_file_write(&record->job, result, err, code, &report_err);

	if (!kept) {
		output_error(&record->run->out, "%s", report_err.text);
		code = code == EXIT_OK ? EXIT_FAILED : code;
	}
	signals_set_state("the job itself has ended: events wait for their reader");
	if (record->has_events)
		json_events_end(&record->events, result, err, kept ? NULL : &report_err, code);
	job_record_end(&record->job);
	return code;
}
