/* SPDX-License-Identifier: MIT */
#include "decode/decoder_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum decode_status decoder_broken(const struct decoder *d, uint64_t offset, struct bmap_error *err,
				  const char *fmt, ...)
{
	char reason[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason, sizeof(reason), fmt, args);
	va_end(args);
	bmap_error_data(err, offset, "%s: broken %s data at offset %" PRIu64 ": %s", d->limits.name,
			d->ops->name, offset, reason);
	return DECODE_FAILED;
}

enum decode_status decoder_truncated(const struct decoder *d, uint64_t offset,
				     struct bmap_error *err)
{
	bmap_error_data(err, offset,
			"%s: truncated: the %s data ends at offset %" PRIu64
			" in the middle; is the download complete?",
			d->limits.name, d->ops->name, offset);
	return DECODE_FAILED;
}

enum decode_status decoder_garbage(const struct decoder *d, uint64_t offset, struct bmap_error *err)
{
	bmap_error_data(err, offset,
			"%s: trailing garbage at offset %" PRIu64
			": bytes behind the end of the %s data are not part of it",
			d->limits.name, offset, d->ops->name);
	return DECODE_FAILED;
}

enum decode_status decoder_over_memory(const struct decoder *d, uint64_t offset, const char *what,
				       uint64_t need_bytes, struct bmap_error *err)
{
	bmap_error_set(err, BMAP_ERR_MEMORY,
		       "%s: %s at offset %" PRIu64 " %s of %" PRIu64 " MiB, but only %" PRIu64
		       " MiB are left for it under the memory limit: raise it with --memory",
		       d->limits.name, d->ops->name, offset, what, div_round_up(need_bytes, MIB),
		       d->limits.memory_bytes / MIB);
	return DECODE_FAILED;
}

bool decoder_own_memory(const struct decoder *d, uint8_t **bytes, size_t *have, size_t want,
			uint64_t beside_bytes, struct bmap_error *err)
{
	if (*have >= want)
		return true;
	if (beside_bytes + want > d->limits.memory_bytes) {
		decoder_over_memory(d, d->source_offset, "needs memory for blocks",
				    beside_bytes + want, err);
		return false;
	}
	free(*bytes);
	*have = 0;
	*bytes = malloc(want);
	if (!*bytes)
		return bmap_error_memory(err, d->limits.name);
	*have = want;
	return true;
}

enum decode_status decoder_want_input(struct decoder *d, const struct in_span *in, size_t bytes,
				      struct bmap_error *err)
{
	if (in->ended)
		return decoder_truncated(d, d->source_offset + in->len, err);
	d->want_input = bytes;
	return DECODE_INPUT;
}
