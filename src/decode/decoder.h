/* SPDX-License-Identifier: MIT */
/* decode/decoder.h - turns source bytes into image bytes. No I/O, no threads, no waiting: a decoder
 * is driven by the decode stage, a unit test, or a fuzz target in the same way.
 *
 * Two ways to drive one, from the same source position:
 *   step()           the next piece, wherever it is in the stream; serial.
 *   cut() + unit()   cuts whole independent units (zstd frames) off the source, which any number of
 *                    workers' decoders then decode in parallel. cut() answers CUT_SERIAL when the
 *                    next unit is too large for that: then step() takes over until it answers
 *                    DECODE_UNIT_END, and cutting goes on behind it. Formats without units have
 *                    NULL for both; step() then runs to DECODE_END.
 *
 * Units whose image size is not known until they are decoded (bzip2 blocks) are cut with
 * image_len_bytes UNIT_LEN_UNKNOWN, and decoded by begin_unit() and step_unit() ahead of their
 * turn, into a worker's scratch, or, what does not fit there, when it is the unit's turn. A cut may
 * be a guess: at each unit's turn the splitter says by unit_wanted() whether it was right, and
 * checks by unit_ended() what chains it to the one before; units_end() is the end of the source's
 * chain. A format either knows its units' sizes or does not.
 *
 * Input:  in->data/len are the next source bytes; consumed bytes are passed by moving both. If
 *         `want_input` is set, the decoder needs at least that many bytes contiguous before it can
 *         go on (at most limits.input_max_bytes). in->ended: nothing comes behind these bytes; a
 *         decoder that wants more then fails with "truncated".
 * Output: out->data/room; written bytes are passed by moving both. All of room may be used as
 *         scratch, only what was passed counts. With history_bytes > 0 the last that many bytes of
 *         output stay readable before out->data, except that out->data jumps back by the ring's
 *         length at the ring's end (the old bytes stay where they were written).
 * Errors: code DATA, with format, offset in the source ("at offset N of FILE") and what is wrong.
 *         The decode stage adds the offset in the image: image_offset, so what was decoded before
 *         the fault is passed by as output, or counted there by cut() and unit(), before they fail.
 * Hostile input is the normal case: everything is bounded and overflow-checked.
 * Threads: one decoder belongs to one thread at a time. */
#ifndef DECODE_DECODER_H
#define DECODE_DECODER_H

#include "base/error.h"

#include <stddef.h>

struct in_span {
	const uint8_t *data;
	size_t len;
	bool ended;
};

struct out_span {
	uint8_t *data;
	size_t room;
};

enum decode_status {
	DECODE_INPUT, /* needs more input (want_input says how much, 0: any) */
	DECODE_ROOM, /* needs more room (want_room says how much) */
	DECODE_UNIT_END, /* a serial unit is complete; cut() goes on. Never without cut(). */
	DECODE_END, /* the container is complete and checked; no source byte is left */
	DECODE_FAILED,
};

enum cut_status {
	/* unit is filled and lies at in->data, whole; the caller consumes source_len. Without image
	 * bytes, or where none of them is wanted, it need not be decoded. */
	CUT_UNIT,
	CUT_INPUT, /* needs more input, want_input says how much */
	CUT_SERIAL, /* next unit is for step() */
	CUT_END,
	CUT_FAILED,
};

#define UNIT_LEN_UNKNOWN SIZE_MAX

struct decode_unit {
	size_t source_len_bytes; /* compressed, at in->data; the caller passes so many */
	size_t image_len_bytes; /* as declared: exactly so much must come out; may be 0 */
	size_t view_len_bytes; /* UNKNOWN only: bytes at in->data that the unit may need to see */
	uint64_t facts[8]; /* UNKNOWN only: between the format's own functions */
	uint64_t context; /* the format's own, for unit() */
};

/* A unit as the index at the container's end declares it: what it says is only believed where what
 * is seen of the container agrees. */
struct indexed_unit {
	uint64_t source_bytes; /* compressed */
	uint64_t image_bytes;
	uint64_t fact; /* the format's own, for pass_indexed(); 0: neighbours may be added up */
};

struct unit_index {
	uint64_t first_offset; /* of the first unit in the source; one lies behind the other */
	struct indexed_unit *units; /* malloc()ed, the caller frees it */
	size_t count; /* <= UNIT_INDEX_MAX_UNITS */
};

/* More than in any image that is used: units of 4 MiB would be 2 TiB. */
#define UNIT_INDEX_MAX_UNITS (512u * 1024u)
#define UNIT_INDEX_MAX_BYTES (8u * 1024u * 1024u) /* likewise, of the source */

#define UNIT_MARK_BYTES 32u

enum index_status {
	INDEX_OK,
	INDEX_MORE, /* need_bytes says how many of the source's last bytes it takes */
	INDEX_NONE, /* none, or none that can be right: units are found from the front then */
};

struct decoder_limits {
	const char *name; /* of the source, for messages; lives as long as the decoder */
	size_t history_max_bytes; /* most history the ring can hold */
	size_t room_max_bytes; /* most room step() can ask for, most image bytes of a CUT_UNIT */
	size_t input_max_bytes; /* most contiguous input that can be given */
	uint64_t memory_bytes; /* most it may allocate for windows and state */
	bool check_content; /* compute the dear content checksums (XXH64, XXH32) too */
	const char *member; /* archives: the file to take, NULL: the first regular one */
};

/* What the first bytes of a file say, for sizing the ring. */
struct decoder_plan {
	size_t history_bytes; /* wanted history (zstd: the window), 0: none */
	size_t unit_bytes; /* image bytes of the first unit if it is one of many, 0: serial */
	size_t worker_bytes; /* memory each worker needs beside its unit's source and image bytes */
	uint64_t image_bytes; /* whole image's size if the head alone proves it, else 0 */
};

struct decoder;

struct decoder_ops {
	const char *name; /* "zstd": messages, JSON, options */
	const char *const *suffixes; /* ".zst", ..., NULL: to say when a name contradicts */
	/* Does head start this format? Pure. */
	bool (*probe)(const uint8_t *head, size_t len);
	/* Reads the first header. False if it is broken: the message says at which offset and why;
	 * the caller puts the name of the source in front. */
	bool (*plan)(const uint8_t *head, size_t len, struct decoder_plan *plan,
		     struct bmap_error *err);
	/* NULL on failure. A window over limits: code MEMORY, the message names --memory. */
	struct decoder *(*open)(const struct decoder_limits *limits, struct bmap_error *err);
	enum decode_status (*step)(struct decoder *d, struct in_span *in, struct out_span *out,
				   struct bmap_error *err);
	enum cut_status (*cut)(struct decoder *d, const struct in_span *in,
			       struct decode_unit *unit, struct bmap_error *err); /* or NULL */
	/* Decodes one unit that cut() found, on any worker's own decoder of this format, whose
	 * unit_context and image_offset the caller has set to the unit's. Writes exactly len to out
	 * or fails, with image_offset where the fault is, if the format can tell; all of out may be
	 * used as scratch. source_offset is for messages. Part of cut(). */
	bool (*unit)(struct decoder *d, const uint8_t *in, size_t in_len, uint8_t *out, size_t len,
		     uint64_t source_offset, struct bmap_error *err);
	/* Units of unknown size; all NULL for other formats. in (view_len_bytes) stays until the
	 * unit ended. On any worker's own decoder; begin forgets what was before. */
	bool (*begin_unit)(struct decoder *d, const uint8_t *in, const struct decode_unit *unit,
			   uint64_t source_offset, struct bmap_error *err);
	/* DECODE_ROOM, DECODE_UNIT_END or DECODE_FAILED. Never waits for more input. */
	enum decode_status (*step_unit)(struct decoder *d, struct out_span *out,
					struct bmap_error *err);
	/* On the splitter, in the order of units, at each one's turn; another thread may be in
	 * cut() then, so they share no field that changes. */
	bool (*unit_wanted)(struct decoder *splitter, const struct decode_unit *unit);
	bool (*unit_ended)(struct decoder *splitter, const struct decode_unit *unit,
			   struct decoder *worker, struct bmap_error *err);
	bool (*units_end)(struct decoder *splitter, struct bmap_error *err);
	/* Reads the index of a source of source_bytes out of its last len bytes. It is checked
	 * against itself and the source's size. need_bytes <= UNIT_INDEX_MAX_BYTES. Pure. NULL: the
	 * format has none; then so is pass_indexed. */
	enum index_status (*read_index)(const uint8_t *tail, size_t len, uint64_t source_bytes,
					struct unit_index *index, size_t *need_bytes);
	/* Without such an index: what a mark in front of a unit says of the unit and itself. data:
	 * the first UNIT_MARK_BYTES of both, fewer only at the source's end. The format's own marks
	 * have no fact. False: no such mark. Pure. NULL: the format has none. */
	bool (*read_mark)(const uint8_t *data, size_t len, struct indexed_unit *unit);
	/* On the splitter, in the place of cut(): the caller leaves the next unit out, unread,
	 * because nothing of it is wanted. False if no unit can begin here. */
	bool (*pass_indexed)(struct decoder *splitter, const struct indexed_unit *unit,
			     struct bmap_error *err);
	void (*close)(struct decoder *d); /* accepts NULL */
};

/* The public part of every decoder; formats put it first in their own struct. */
struct decoder {
	const struct decoder_ops *ops;
	struct decoder_limits limits; /* constant */
	size_t want_input; /* see DECODE_INPUT, CUT_INPUT */
	size_t want_room; /* see DECODE_ROOM; constant for many formats, at least 1 */
	size_t history_bytes; /* current; changes only between units */
	uint64_t source_offset; /* bytes consumed so far; the caller adds what it consumes for units
				 */
	uint64_t image_offset; /* bytes put out so far, likewise */
	uint64_t unit_context; /* decode_unit.context of the unit that unit() is given */
	/* Something to be said once at info level ("taking the first of 3 files, ..."); the caller
	 * logs it behind the source's name and empties it. */
	char note[256];
};

/* NULL: no known format, so a raw image. */
const struct decoder_ops *decoder_detect(const uint8_t *head, size_t len);
/* The format a name's extension stands for, NULL if none. */
const struct decoder_ops *decoder_for_name(const char *name);
/* All formats of this build, NULL-terminated. */
extern const struct decoder_ops *const decoder_table[];

#endif
