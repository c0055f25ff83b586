/* SPDX-License-Identifier: MIT */
/* pipeline/source_reader.h - reads a source ahead on its own thread, into a small ring of its own.
 *
 * Gaps: where an index at the source's end shows parts that nobody needs (source_gaps.h), the
 * reader jumps over them, and the bytes in its ring are those before and behind. What is shown
 * never reaches over a gap: it ends there, and goes on once the gap was passed.
 * Threads: started, stopped and joined by the owner; peek and consume from one thread at a time
 *          (the decode stage's lock passes them on). */
#ifndef PIPELINE_SOURCE_READER_H
#define PIPELINE_SOURCE_READER_H

#include "decode/decoder.h"
#include "pipeline/job_state.h"
#include "pipeline/ring.h"
#include "pipeline/source_gaps.h"
#include "source/source.h"

struct source_reader;
/* The reader leaves this much of its ring free rather than read dribbles. */
#define SOURCE_READER_SLACK_BYTES (256u * 1024u)
/* ahead_bytes: a multiple of RING_ALIGN_BYTES. gaps: NULL to read all. */
struct source_reader *source_reader_start(struct source *source, size_t ahead_bytes,
					  const struct source_gaps_config *gaps,
					  struct job_state *job, struct bmap_error *err);
/* The same over bytes that another stage decodes: its ring, as consumer 0. It has no thread, and
 * stopping it stops that ring. */
struct source_reader *source_reader_over(struct ring *ring, struct bmap_error *err);
/* Waits until there are at least want bytes (0 is 1; at most ahead_bytes less the slack), or the
 * source ended.
 * Shows all that is there. False: stopped or failed (the job knows). */
bool source_reader_peek(struct source_reader *reader, size_t want, struct in_span *span);
/* The gap that lies directly behind what the last peek showed, or NULL. Of a reader without gaps it
 * is always NULL. */
const struct source_gap *source_reader_gap(const struct source_reader *reader);
void source_reader_pass_gap(struct source_reader *reader); /* everything before it is consumed */
void source_reader_consume(struct source_reader *reader, size_t len); /* of what was shown */
uint64_t source_reader_bytes(const struct source_reader *reader); /* read so far; any thread */
void source_reader_stop(struct source_reader *reader); /* any thread */
void source_reader_free(struct source_reader *reader); /* stops and joins; accepts NULL */

#endif
