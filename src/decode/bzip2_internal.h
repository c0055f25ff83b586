/* SPDX-License-Identifier: MIT */
/* decode/bzip2_internal.h - the bzip2 decoder: bzip2_decoder.c steps through streams with libbz2,
 * bzip2_units.c cuts them into blocks for many workers, bzip2_scan.c finds where blocks begin.
 *
 * A bzip2 file has no sizes anywhere; blocks begin at any bit, with a magic of 48 bits that may
 * also stand by chance, or by malice, inside of one. So every place where it stands is a guess, and
 * each unit's turn tells whether it was right: a block must begin where the one before it ended. */
#ifndef DECODE_BZIP2_INTERNAL_H
#define DECODE_BZIP2_INTERNAL_H

#include "decode/decoder_internal.h"

#include <bzlib.h>

#define BZIP2_STREAM_MAGIC_BYTES 4u /* "BZh" and the level */
#define BZIP2_MAGIC_BITS 48u
#define BZIP2_CRC_BITS 32u

enum bzip2_kind {
	BZIP2_START, /* from the source's first byte to the first mark */
	BZIP2_BLOCK,
	BZIP2_END, /* of a stream; the header of a next one may follow */
};

struct bzip2_mark {
	uint64_t bit; /* from the source's start, of the magic's first bit */
	enum bzip2_kind kind;
};

/* Guessed ends that are tried one after the other: all but one of them are false. */
#define BZIP2_ENDS 5u
/* One block compressed is at most 900 kB, a hundredth more, and tables: what lies further away is
 * not its end. */
#define BZIP2_BLOCK_MAX_BYTES (1000u * KIB)
#define BZIP2_MARKS 64u

/* cut()'s: marks found ahead of the unit being cut, in order. */
struct bzip2_scan {
	struct bzip2_mark marks[BZIP2_MARKS];
	unsigned count;
	uint64_t next_bit; /* magics that begin before were found */
	struct bzip2_mark current; /* where the unit to be cut begins; 0, START: the first */
};

/* The turns': where the next block has to begin. */
struct bzip2_chain {
	uint64_t expected_bit;
	uint32_t crc; /* of the stream so far */
	bool complete; /* the last stream ended with the source */
};

/* A worker's: the block it decodes, as a stream of its own for libbz2. */
struct bzip2_unit {
	const uint8_t *in; /* from the byte of the unit's first bit on */
	size_t in_len;
	bool in_ended; /* nothing comes behind in */
	uint64_t start_bit;
	uint64_t ends[BZIP2_ENDS];
	unsigned end_count, end; /* the one in progress */
	enum bzip2_kind kind;
	uint32_t block_crc;
	uint64_t source_offset;
	uint64_t out_bytes; /* of the try in progress */
	uint8_t *stream; /* rebuilt for each try */
	size_t stream_len, stream_room;
	/* The last block that was nothing but zeros: holes are compressed to the same bits again.
	 */
	uint8_t zero_stream[256];
	size_t zero_len; /* 0: none */
	uint64_t zero_bytes;
	bool all_zero; /* so far in this try */
	uint64_t zeros_left; /* the try is a repetition: so many are still to be put out */
};

struct bzip2_decoder {
	struct decoder base;
	bz_stream bz;
	bool in_stream; /* bz is to be ended */
	bool seen_stream;
	struct bzip2_scan scan;
	struct bzip2_chain chain;
	struct bzip2_unit unit;
	void *kept_memory[4]; /* libbz2's large pieces: touching new memory is dear */
	size_t kept_bytes[4];
};

/* Finds marks that begin in [scan->next_bit, ...) in data, whose first bit is at bit base_bit of
 * the source, until there are BZIP2_MARKS or all of data was looked at. */
void bzip2_scan(struct bzip2_scan *scan, const uint8_t *data, size_t len, uint64_t base_bit);
/* n <= 32 bits from bit on, first bit highest; data is long enough. */
uint32_t bzip2_bits(const uint8_t *data, uint64_t bit, unsigned n);
/* As far as head goes, does a stream begin here? */
bool bzip2_stream_begins(const uint8_t *head, size_t len);

/* Memory for libbz2 that is kept from block to block. */
void bzip2_memory_init(struct bzip2_decoder *b);
void bzip2_memory_free(struct bzip2_decoder *b);

/* decoder.h says what they are for. */
enum cut_status bzip2_cut(struct decoder *d, const struct in_span *in, struct decode_unit *unit,
			  struct bmap_error *err);
bool bzip2_begin_unit(struct decoder *d, const uint8_t *in, const struct decode_unit *unit,
		      uint64_t source_offset, struct bmap_error *err);
enum decode_status bzip2_step_unit(struct decoder *d, struct out_span *out, struct bmap_error *err);
bool bzip2_unit_wanted(struct decoder *splitter, const struct decode_unit *unit);
bool bzip2_unit_ended(struct decoder *splitter, const struct decode_unit *unit,
		      struct decoder *worker, struct bmap_error *err);
bool bzip2_units_end(struct decoder *splitter, struct bmap_error *err);
void bzip2_unit_free(struct bzip2_decoder *b);

#endif
