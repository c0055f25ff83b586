/* SPDX-License-Identifier: MIT */
/* cli/job_record.h - what a job is to those who keep its events and its report. */
#ifndef CLI_JOB_RECORD_H
#define CLI_JOB_RECORD_H

#include <bmap/bmap.h>

#include <time.h>

#define JOB_ID_MAX_BYTES 255
#define UUID_ROOM 37

struct job_record {
	const struct bmap_flash_options *options; /* borrowed */
	const char *id; /* as given, borrowed; else made_id */
	const char *report_path; /* NULL: no report; borrowed */
	char made_id[UUID_ROOM];
	char *image_name; /* what may be shown of the image's; NULL: no memory */
	struct timespec began;
};

/* id NULL: a random UUID (RFC 9562, version 4). */
void job_record_begin(struct job_record *record, const struct bmap_flash_options *options,
		      const char *id, const char *report_path);
void job_record_end(struct job_record *record);
/* Text of 1 to JOB_ID_MAX_BYTES bytes, UTF-8, without control characters? */
bool job_id_is_good(const char *id);

#endif
