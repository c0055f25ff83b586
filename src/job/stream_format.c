/* SPDX-License-Identifier: MIT */
#include "job/stream_format.h"
#include "base/checked.h"
#include "base/cleanup.h"
#include "decode/archive.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Some formats show nothing before a whole block is there: bzip2's have up to 900 KiB, lz4's 4 MiB
 * (8 MiB in the legacy frame). */
#define PEEK_SOURCE_MAX_BYTES (9u * MIB)
/* Of decoded bytes, most of which are never touched. */
#define PEEK_ROOM_BYTES (9u * MIB)

struct peek {
	struct source *source;
	struct decoder *decoder;
	uint8_t *out;
	bool source_ended;
};

static bool find_archive(struct stream_format *found, struct source *source, uint64_t memory_bytes,
			 struct bmap_error *err);
static void compare_with_name(const struct stream_format *found, const char *name,
			      const struct bmap_log *log);
static bool name_the_source(const struct source *source, struct bmap_error *err);

bool stream_format_detect(struct stream_format *found, struct source *source, const char *member,
			  uint64_t memory_bytes, const struct bmap_log *log, struct bmap_error *err)
{
	*found = (struct stream_format){ .format = decoder_detect(source->head, source->head_len) };
	if (found->format &&
	    !found->format->plan(source->head, source->head_len, &found->plan, err))
		return name_the_source(source, err);
	if (found->format && !find_archive(found, source, memory_bytes, err))
		return false;
	compare_with_name(found, source->file_name ? source->file_name : source->name, log);
	if (member && !found->archive && (!found->format || !decoder_is_archive(found->format)))
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "%s: is no archive: there is no file in it that --member "
				      "could choose",
				      source->name);
	return true;
}

/* A plan is made of bytes alone. */
static bool name_the_source(const struct source *source, struct bmap_error *err)
{
	struct bmap_error plain;

	if (!err)
		return false;
	plain = *err;
	bmap_error_set(err, plain.code, "%s: %s (after 0 bytes of the image)", source->name,
		       plain.text);
	err->has_offset = plain.has_offset;
	err->offset_bytes = plain.offset_bytes;
	return false;
}

/* More input after INPUT. False: there is none, or it could not be read. */
static bool peek_read(struct peek *peek, struct bmap_error *err)
{
	const struct decoder *decoder = peek->decoder;
	struct source *source = peek->source;
	size_t had = source->head_len;
	uint64_t want = max_u64(2 * (uint64_t)had, decoder->source_offset + decoder->want_input);

	if (had >= PEEK_SOURCE_MAX_BYTES || peek->source_ended)
		return false;
	want = min_u64(want, PEEK_SOURCE_MAX_BYTES);
	if (!source_grow_head(source, (size_t)want, err))
		return false;
	peek->source_ended = source->head_len < want;
	return source->head_len > had;
}

/* Decodes until an archive would show. Whatever fails here fails again in the real run, which says
 * it better; only a source that cannot be read fills err. */
static void peek_run(struct peek *peek, struct bmap_error *err)
{
	struct decoder *decoder = peek->decoder;
	enum decode_status status;
	struct bmap_error ignored;

	do {
		const struct source *source = peek->source;
		size_t seen = (size_t)decoder->source_offset, done = (size_t)decoder->image_offset;
		struct in_span in = { source->head + seen, source->head_len - seen,
				      peek->source_ended };
		struct out_span out = { peek->out + done, decoder->want_room };

		if (decoder->want_room > PEEK_ROOM_BYTES - done)
			return;
		status = decoder->ops->step(decoder, &in, &out, &ignored);
		if (status == DECODE_FAILED || status == DECODE_END ||
		    (status == DECODE_INPUT && !peek_read(peek, err)))
			return;
	} while (decoder->image_offset < ARCHIVE_PROBE_BYTES);
}

static bool find_archive(struct stream_format *found, struct source *source, uint64_t memory_bytes,
			 struct bmap_error *err)
{
	const struct decoder_limits limits = {
		.name = source->name,
		.history_max_bytes = (size_t)min_u64(memory_bytes, SIZE_MAX / 2),
		.room_max_bytes = PEEK_ROOM_BYTES / 2,
		.input_max_bytes = PEEK_SOURCE_MAX_BYTES,
		.memory_bytes = memory_bytes,
	};
	struct peek peek = { .source = source,
			     .source_ended = source->head_len < SOURCE_HEAD_BYTES };
	bool good;

	if (found->format == archive_in_streams())
		return true;
	*err = (struct bmap_error){ .code = BMAP_ERR_NONE };
	peek.out = malloc(PEEK_ROOM_BYTES);
	peek.decoder = peek.out ? found->format->open(&limits, err) : NULL;
	good = peek.decoder || bmap_error_memory(err, source->name);
	if (peek.decoder) {
		peek_run(&peek, err);
		good = err->code == BMAP_ERR_NONE;
		if (good &&
		    archive_in_streams()->probe(peek.out, (size_t)peek.decoder->image_offset))
			found->archive = archive_in_streams();
		found->format->close(peek.decoder);
	}
	free(peek.out);
	return good;
}

static bool name_ends(const char *name, size_t len, const char *suffix)
{
	size_t suffix_len = strlen(suffix);

	return len > suffix_len && !strncasecmp(name + len - suffix_len, suffix, suffix_len);
}

/* .tar, .tar.X, or one of the short forms: .tgz, .tbz2, ... */
static bool name_says_archive(const char *name)
{
	const char *dot = strrchr(name, '.');

	if (!dot || strchr(dot, '/'))
		return false;
	return name_ends(name, strlen(name), ".tar") ||
	       name_ends(name, (size_t)(dot - name), ".tar") ||
	       (decoder_for_name(name) && !strncasecmp(dot, ".t", 2));
}

static void compare_with_name(const struct stream_format *found, const char *name,
			      const struct bmap_log *log)
{
	const struct decoder_ops *by_name = decoder_for_name(name), *format = found->format;
	bool archive = found->archive || format == archive_in_streams();

	if (by_name && (!format || strcmp(by_name->name, format->name)))
		log_info(log, "%s: the name says %s, but the content is %s: going by the content",
			 name, by_name->name, format ? format->name : "not compressed");
	else if (by_name && archive != name_says_archive(name))
		log_info(log, "%s: the name says %s, but it holds %s: going by the content", name,
			 archive ? "nothing of a tar archive" : "tar",
			 archive ? "one" : "no tar archive");
}

bool stream_format_is_packed(int fd, const char *path, bool *yes, struct bmap_error *err)
{
	CLEANUP_FREE uint8_t *head = malloc(SOURCE_HEAD_BYTES);
	size_t len = 0;
	ssize_t n;

	if (!head)
		return bmap_error_memory(err, path);
	do {
		n = pread(fd, head + len, SOURCE_HEAD_BYTES - len, (off_t)len);
		if (n > 0)
			len += (size_t)n;
	} while ((n > 0 && len < SOURCE_HEAD_BYTES) || (n < 0 && errno == EINTR));
	if (n < 0)
		return bmap_error_errno(err, "%s: cannot read it", path);
	*yes = decoder_detect(head, len) != NULL;
	return true;
}
