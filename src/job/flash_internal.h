/* SPDX-License-Identifier: MIT */
/* job/flash_internal.h - what the files of a flash share.
 *
 * flash.c          the public call: options, passes, the end
 * flash_targets.c  which targets are written: opening, refusing, beginning
 * flash_expect.c   what belongs on the line
 * flash_pass.c     one pass of the image over some of them: stream and write stage
 * flash_read_back.c  the threads that read them back
 * flash_report.c   what progress and result say
 * flash_finish.c   verdicts, and closing
 * Threads: the calling thread's. */
#ifndef JOB_FLASH_INTERNAL_H
#define JOB_FLASH_INTERNAL_H

#include "job/flash_read_back.h"
#include "job/image_stream.h"
#include "pipeline/write_stage.h"
#include "target/target.h"

/* One named target, through all passes. */
struct flash_target {
	struct target target;
	bool open; /* target is the program's to end */
	bool abandoned; /* its requests never ended */
	bool said_flushing; /* the log line about it was written */
	struct bmap_device *device; /* what report->device points to where there is one */
	struct bmap_error *error; /* what report->error points to where there is one */
	struct bmap_target_report *report; /* in the result */
};

/* The image once more, to the targets that want it. */
struct flash_pass {
	struct image_stream stream;
	bool streaming; /* stream is open */
	struct write_stage *writing; /* NULL: not begun */
	struct flash_readers *readers; /* NULL: none, or ended */
	struct target **lanes; /* lent to the write stage */
	struct flash_target **members; /* of each lane */
	size_t lane_count;
};

struct flash {
	const struct bmap_flash_options *options;
	struct bmap_flash_result *result;
	uint64_t began_ns;
	unsigned pass_number;
	struct flash_pass pass; /* the current one */
	struct flash_target *targets; /* options->target_count of them */
	uint64_t image_bytes; /* valid once the source was read to its end */
	/* The same, of what no checksum of the map vouches for; 0: nothing. */
	uint64_t unchecked_sum;
	bool read_back, detaches;
	bool reader_left_behind; /* by a pass: its map is leaked, which all passes share */
	struct bmap_error ending; /* why the whole job ends early; code NONE: it does not */
};

/* --- flash_targets.c --- */

/* Opens and checks every target; nothing is changed. A refused one has its error. False: nothing
 * may be written to any (a disk named twice, a wrong count), or none is left: the first error. */
bool flash_open_targets(struct flash *flash, struct bmap_error *err);
/* The first change to those that are WAITING. Returns how many are there for this pass, the
 * DETACHED ones too; a failed one is final. */
size_t flash_begin_targets(struct flash *flash);
/* It is final: FAILED or INTERRUPTED with err, unless it is already. */
void flash_target_failed(struct flash *flash, struct flash_target *target,
			 const struct bmap_error *err);
size_t flash_count_in_state(const struct flash *flash, enum bmap_target_state state);

/* --- flash_expect.c --- */

bool flash_expect_sane(const struct bmap_expect *expect, struct bmap_error *err);
/* An open target; device may be NULL or empty. False: REFUSED, says what was expected and found. */
bool flash_expect_target(const struct bmap_expect *expect, const struct target *target,
			 const struct bmap_device *device, struct bmap_error *err);
bool flash_expect_count(const struct flash *flash, struct bmap_error *err);

/* --- flash_pass.c --- */

bool flash_open_stream(struct flash *flash, struct bmap_error *err);
/* Writes the image to every target that is WAITING or DETACHED: after it each is final or (again)
 * DETACHED. False: the whole job ends, err says why. */
bool flash_run_pass(struct flash *flash, struct bmap_error *err);
/* Ends all threads of the stream; idempotent. */
void flash_end_stream(struct flash *flash);
/* Closes what the pass has open, whatever state it is in. */
void flash_close_pass(struct flash *flash);

/* --- flash_report.c --- */

bool flash_prepare_result(struct flash *flash, struct bmap_error *err);
/* What is known of the image: after the stream was opened, and again when it ended. */
bool flash_describe_image(struct flash *flash, struct bmap_error *err);
/* The digest of the image file, where it is known: after the stream of a pass was stopped. */
void flash_keep_file_digest(struct flash *flash);
/* Which errors of targets are the whole job's. */
void flash_mark_errors(struct flash *flash);
/* Fills the reports from the lanes; says once for each target when its final flush begins. */
void flash_read_lanes(struct flash *flash);
/* The same, and calls the progress callback. */
void flash_show_progress(struct flash *flash);

/* --- flash_finish.c --- */

/* After all lanes of a pass have ended. */
void flash_judge(struct flash *flash);
/* The same: lets go of those that are final, so that nobody waits for the passes of others. */
void flash_release_final(struct flash *flash);
/* Ends pass and targets, whatever state they are in. True if every target is DONE; else err is the
 * first that failed. failed: err says already why the whole job did. */
bool flash_finish(struct flash *flash, bool failed, struct bmap_error *err);

#endif
