/* SPDX-License-Identifier: MIT */
/* pipeline/decode_stage.h - fills the image ring from a source: the ring's producer.
 *
 * Four ways, chosen by the caller:
 *   compressed   a reader thread fills a small ring of source bytes; N workers cut units off it
 *                and decode them straight into the image ring, or one of them steps through a
 *                serial stream (a unit that is too large, a format without units). Units without
 *                mapped bytes are passed by without decoding; where the container has an index at
 *                its end, and the source can seek, runs of them are not even read (unless
 *                check_content says that something is wanted that no checksum judges).
 *   raw stream   one thread reads the source straight into the ring (pipes).
 *   raw ranges   the same, but what no mapped range needs is skipped (servers that send ranges).
 *   raw extents  one thread reads mapped extents at queue depth through an io engine.
 * An archive inside a compressed stream is two of the first kind in a row (archive_stage.c).
 * Checked here: the container to its end, image bytes against plan->image_size_bytes (more or
 * fewer is an error; an image that goes on behind it ends at once).
 * Threads: started and joined by the job's thread; ends by itself, by ring_stop() on the image
 *          ring followed by decode_stage_stop().
 * Errors:  job_fail(); the ring is then not finished but left for the job to stop. */
#ifndef PIPELINE_DECODE_STAGE_H
#define PIPELINE_DECODE_STAGE_H

#include "decode/decoder.h"
#include "io/engine.h"
#include "pipeline/job_state.h"
#include "pipeline/plan.h"
#include "pipeline/ring.h"
#include "pipeline/segments.h"
#include "source/source.h"

struct decode_stage_config {
	struct source *source; /* borrowed; used by the stage's threads until joined */
	const struct decoder_ops *format; /* NULL: raw */
	struct decoder_plan decoder_plan; /* of the source's head; zeroed for raw */
	const struct decoder_ops *archive; /* of the bytes that format gives, NULL: the image */
	size_t archive_ring_bytes; /* the ring between the two, beside memory_bytes */
	const struct decoder_ops
		*inside; /* what format gives is such an archive, NULL: the image */
	const char *member; /* of the archive, decoder_limits; borrowed */
	struct ring *input; /* read instead of the source, as consumer 0; NULL: the source */
	struct ring *ring;
	struct segments *segments;
	const struct image_plan *plan;
	struct job_state *job;
	unsigned workers; /* at most, for units */
	uint64_t memory_bytes; /* for decoders, scratch and source ring, beside the image ring */
	bool check_content; /* decoder_limits */
	unsigned queue_depth; /* reads in flight for raw extents, 0: default */
	const struct engine_factory *engine; /* may be NULL */
};

struct decode_stage;
struct decode_stage *decode_stage_start(const struct decode_stage_config *config,
					struct bmap_error *err);
void decode_stage_stop(struct decode_stage *stage); /* wakes its own waits; any thread */
void decode_stage_join(struct decode_stage *stage);
bool decode_stage_ended(struct decode_stage *stage); /* good and to the end: any thread */
/* Image size that was seen; valid once decode_stage_ended(). */
uint64_t decode_stage_image_bytes(const struct decode_stage *stage);
uint64_t decode_stage_source_bytes(const struct decode_stage *stage); /* so far; any thread */
void decode_stage_free(struct decode_stage *stage); /* after join; accepts NULL */

#endif
