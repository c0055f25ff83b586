/* SPDX-License-Identifier: MIT */
#include "job/file_digest.h"
#include "digest/digest.h"

#include <stdlib.h>

#define SHA256_BYTES 32

struct file_digest {
	struct source *source;
	struct source_tap tap;
	struct hasher *hasher;
	bool ended;
	char text[FILE_DIGEST_ROOM]; /* "": not known */
};

static void on_bytes(void *arg, const void *data, size_t len)
{
	struct file_digest *digest = arg;

	hasher_update(digest->hasher, data, len);
}

/* Some read on when they are at the end. */
static void on_end(void *arg, bool whole)
{
	struct file_digest *digest = arg;
	uint8_t sum[SHA256_BYTES];

	if (digest->ended)
		return;
	digest->ended = true;
	hasher_finish(digest->hasher, sum);
	if (whole)
		digest_to_hex(sum, sizeof(sum), digest->text);
}

struct file_digest *file_digest_new(struct source *source, struct bmap_error *err)
{
	struct file_digest *digest = calloc(1, sizeof(*digest));

	if (!digest) {
		bmap_error_memory(err, source->name);
		return NULL;
	}
	digest->hasher = hasher_new(BMAP_DIGEST_SHA256, err);
	if (!digest->hasher) {
		free(digest);
		return NULL;
	}
	hasher_begin(digest->hasher);
	digest->source = source;
	digest->tap = (struct source_tap){ on_bytes, on_end, digest };
	source->tap = &digest->tap;
	return digest;
}

const char *file_digest_text(const struct file_digest *digest)
{
	return digest && *digest->text ? digest->text : NULL;
}

void file_digest_free(struct file_digest *digest)
{
	if (!digest)
		return;
	digest->source->tap = NULL;
	hasher_free(digest->hasher);
	free(digest);
}
