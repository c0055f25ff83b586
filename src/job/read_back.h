/* SPDX-License-Identifier: MIT */
/* job/read_back.h - reads what was written to a target, and compares it.
 *
 * Never answered by the page cache: a target that is open with O_DIRECT is read so; of another one
 * what the cache holds is dropped before.
 * Threads: what is asked here blocks; one thread a target. Nothing else may use its descriptor
 *          meanwhile. */
#ifndef JOB_READ_BACK_H
#define JOB_READ_BACK_H

#include "base/log.h"
#include "base/stop.h"
#include "pipeline/plan.h"
#include "target/target.h"

struct read_back {
	struct target target; /* borrowed: begun, and flushed */
	struct image_plan plan;
	/* What to compare with: ranges of checked that have a digest, up to longest_bytes long (0:
	 * all), and ranges of sums. Either may be NULL. Together they are the mapped bytes. */
	const struct bmap_map *checked, *sums;
	uint64_t longest_bytes;
	const uint8_t *head; /* a withheld head: not on the device yet; NULL: nothing is withheld */
	uint64_t head_bytes;
	unsigned workers, queue_depth; /* 0: as range_loop.h */
	uint64_t memory_bytes; /* 0: as range_loop.h */
	const struct bmap_log *log;
	struct bmap_stop *stop; /* may be NULL */
	/* It goes on; done_bytes of the mapped ones were compared. On any thread. */
	void (*progress)(void *arg, uint64_t done_bytes);
	void *arg;
};

/* The first range, in the image's order, that is not as it was written. */
struct read_back_bad {
	bool found;
	const struct bmap_map *map; /* checked or sums */
	size_t range;
};

/* All mapped bytes; those of a withheld head are taken from head. False: they could not be read
 * (code IO, with the offset) or it was stopped (INTERRUPTED); bad is then not set. */
bool read_back_body(const struct read_back *back, struct read_back_bad *bad,
		    struct bmap_error *err);
/* A withheld head that is on the device now, byte by byte. *bad_byte: the first one that differs,
 * or UINT64_MAX. False: it could not be read. */
bool read_back_head(const struct read_back *back, uint64_t *bad_byte, struct bmap_error *err);

/* Reads len bytes at offset_bytes, both multiples of READ_BACK_ALIGN_BYTES (data too); what lies
 * behind the target's end is left as it is. False: code IO. */
#define READ_BACK_ALIGN_BYTES 4096u
bool read_back_bytes(const struct read_back *back, uint64_t offset_bytes, uint8_t *data, size_t len,
		     struct bmap_error *err);

/* The error for bytes [begin, end) of the image: in which blocks, bad_byte if it is known (else
 * UINT64_MAX) and why if it is not. */
void read_back_error(const struct read_back *back, uint64_t begin, uint64_t end, uint64_t bad_byte,
		     const char *why_not_known, struct bmap_error *err);

#endif
