/* SPDX-License-Identifier: MIT */
/* job/flash_read_back.h - the threads that read the targets of a pass back: one a lane, asleep in
 * write_stage_read_back_wait() until its lane asks.
 *
 * One whose device never answers is left behind with its lane (status.abandoned): all that it may
 * still use is its own or leaked.
 * Threads: what is asked here, the job's thread. */
#ifndef JOB_FLASH_READ_BACK_H
#define JOB_FLASH_READ_BACK_H

#include "job/image_stream.h"
#include "pipeline/write_stage.h"
#include "target/target.h"

struct flash_readers;
/* One for each lane of the stage; all is borrowed until flash_readers_end(). NULL on failure: then
 * none runs. */
struct flash_readers *flash_readers_start(struct write_stage *stage, struct target **lanes,
					  size_t lane_count, const struct image_stream *stream,
					  struct bmap_error *err);
/* Who reads a body, now or later, ends soon, with a bad verdict; heads are read all the same. */
void flash_readers_stop(struct flash_readers *readers);
/* After write_stage_join(). Accepts NULL. True if one was left behind: the stream's map and sums,
 * and the write stage, must not be freed. */
bool flash_readers_end(struct flash_readers *readers);

#endif
