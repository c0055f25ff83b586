/* SPDX-License-Identifier: MIT */
/* cli/report_file.h - the document about one run of copy: docs/json.md, docs/report.schema.json. */
#ifndef CLI_REPORT_FILE_H
#define CLI_REPORT_FILE_H

#include "cli/job_record.h"

/* Could it be written? To be asked before anything is flashed. */
bool report_file_check(const struct job_record *record, struct bmap_error *err);
/* Whole or not at all. failure: why the job failed, NULL: a success. A target that is the same file
 * as the report is not replaced by it. */
bool report_file_write(const struct job_record *record, const struct bmap_flash_result *result,
		       const struct bmap_error *failure, int exit_code, struct bmap_error *err);

#endif
