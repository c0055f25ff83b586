/* SPDX-License-Identifier: MIT */
/* job/flash_internal.h - one flash: flash.c runs it, flash_finish.c judges and closes it.
 * Threads: the calling thread's. */
#ifndef JOB_FLASH_INTERNAL_H
#define JOB_FLASH_INTERNAL_H

#include "job/image_stream.h"
#include "pipeline/write_stage.h"
#include "target/target.h"

struct flash {
	const struct bmap_flash_options *options;
	struct bmap_flash_result *result;
	uint64_t began_ns;
	struct image_stream stream;
	bool streaming; /* stream is open */
	struct target *targets;
	size_t target_count; /* opened */
	struct write_stage *writing;
	uint64_t image_bytes; /* valid once the source was read to its end */
	bool ran; /* every lane has a verdict */
	struct bmap_target_progress *shown; /* of flash_show_progress() */
	bool said_flushing; /* the log line about it was written */
};

bool flash_prepare_result(struct flash *flash, struct bmap_error *err);
/* Calls the progress callback; says once when a target's final flush begins. */
void flash_show_progress(struct flash *flash);
/* After all lanes have ended: fills the result; false with the first error if one is not DONE. */
bool flash_judge(struct flash *flash, const struct bmap_error *why, struct bmap_error *err);
/* Ends targets and stream, whatever state they are in. good: what run said so far. */
bool flash_finish(struct flash *flash, bool good, struct bmap_error *err);

#endif
