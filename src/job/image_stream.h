/* SPDX-License-Identifier: MIT */
/* job/image_stream.h - source, map, ring, decode and hash stage as one: an image that flows by.
 * flash puts a write stage behind it, verify of a stream nothing.
 *
 * Order: open (reads map and header, starts nothing), start, wait..., stop, close.
 * Threads: all from the job's thread. */
#ifndef JOB_IMAGE_STREAM_H
#define JOB_IMAGE_STREAM_H

#include "job/file_digest.h"
#include "pipeline/decode_stage.h"
#include "pipeline/hash_stage.h"
#include "pipeline/sum_stage.h"

struct image_stream_options {
	const char *image, *bmap; /* bmap NULL: discovered, unless no_bmap */
	const char *bmap_signature; /* this and the next two as in struct bmap_flash_options */
	bool no_signature;
	const char *keyring, *fingerprint;
	const char *member; /* of an archive, NULL: its first regular file */
	bool no_bmap, no_verify;
	bool digest_image; /* compute the SHA-256 of the image file, if it is read whole */
	/* Sum up what passes (sum_stage.h) where no checksum of the map is checked, and long
	 * ranges.
	 */
	bool sums;
	uint64_t memory_bytes;
	unsigned queue_depth, workers;
	const struct bmap_log *log;
	struct bmap_stop *stop;
};

struct image_stream {
	struct image_stream_options options;
	struct bmap_map *map; /* NULL with no_bmap */
	bool map_is_borrowed;
	char *image; /* what to open: options' own, or the path of a file: URL */
	char *image_name; /* for messages: of a URL without user and password */
	char *bmap_path; /* the one in use, as image_name; NULL with no_bmap */
	char bmap_digest[FILE_DIGEST_ROOM]; /* of the bmap file; "": no_bmap */
	struct source *source;
	const struct decoder_ops *format; /* NULL: raw */
	const struct decoder_ops *archive; /* inside format, NULL: none */
	struct decoder_plan decoder_plan;
	struct image_plan plan;
	uint64_t mapped_bytes; /* SIZE_UNKNOWN: no map, and the source does not tell */
	bool verifies; /* there are checksums to be checked */
	unsigned workers;
	size_t ring_bytes, archive_ring_bytes;
	/* Once started: */
	struct file_digest *file_digest; /* NULL: not asked for; complete when stopped */
	struct job_state *job;
	struct bmap_stop *stop; /* the job's own: ends waiting reads on failure, too */
	struct ring *ring;
	struct segments *segments;
	struct decode_stage *decode;
	struct hash_stage *hash;
	struct sum_stage *sums; /* NULL: not asked for, or not needed */
};

/* On failure nothing is left open. Logs the map's facts at info level. */
bool image_stream_open(struct image_stream *stream, const struct image_stream_options *options,
		       struct bmap_error *err);
/* Opens the image of before (stopped, not closed) from its beginning, with its options and its map,
 * which moves: a map cannot always be read twice, and was said to be good. */
bool image_stream_open_again(struct image_stream *stream, struct image_stream *before,
			     struct bmap_error *err);
/* The image of other once more, beside it: with its options but no checks and no log, and its map,
 * which is borrowed. other may be in use by its threads, and outlives stream. */
bool image_stream_open_beside(struct image_stream *stream, const struct image_stream *other,
			      struct bmap_stop *stop, struct bmap_error *err);
/* Can the image be opened again: no pipe, no standard input? */
bool image_stream_repeatable(const struct image_stream *stream);
/* consumers: of the ring, beside the hash threads, with numbers from 0. on_bad: hash_stage.h. */
bool image_stream_start(struct image_stream *stream, size_t consumers,
			bool (*on_bad)(void *arg, const struct bmap_bad_range *bad,
				       struct bmap_error *err),
			void *arg, struct bmap_error *err);

enum stream_event { STREAM_BELL, STREAM_TIMEOUT, STREAM_STOPPED };
/* Sleeps until a thread rings the bell, the user's stop object asks to end, or time is up. */
enum stream_event image_stream_wait(struct image_stream *stream, int timeout_ms);
/* Read to its end, every checksum compared, all summed up. */
bool image_stream_complete(struct image_stream *stream);
/* Ends all threads, whatever they wait for, and joins them. Idempotent. */
void image_stream_stop(struct image_stream *stream);
/* keep_ring: the kernel still uses its memory; it is leaked. */
void image_stream_close(struct image_stream *stream, bool keep_ring);

#endif
