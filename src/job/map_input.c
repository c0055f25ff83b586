/* SPDX-License-Identifier: MIT */
#include "job/map_input.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TEXT_MAX_BYTES (1024u * MIB)
/* Less is tried where address space is short: 32 bit, ulimit -v, strict overcommit. */
#define TEXT_MIN_BYTES (16u * MIB)

bool map_text_new(struct map_text *text, const char *path, struct bmap_error *err)
{
	*text = (struct map_text){ .room = TEXT_MAX_BYTES };
	for (; text->room >= TEXT_MIN_BYTES; text->room /= 2) {
		text->bytes = mmap(NULL, text->room, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (text->bytes != MAP_FAILED)
			return true;
	}
	return bmap_error_memory(err, path);
}

void map_text_free(struct map_text *text)
{
	munmap(text->bytes, text->room);
}

bool map_text_too_long(const struct map_text *text, const char *path, struct bmap_error *err)
{
	return bmap_error_set(err, BMAP_ERR_MAP,
			      "%s: more than %zu MiB of text: this is no bmap file", path,
			      text->room / MIB);
}

bool map_input_of_source(struct map_input *in, struct source *source, struct bmap_error *err)
{
	*in = (struct map_input){ .path = source->name,
				  .source = source,
				  .bytes = malloc(MAP_INPUT_BYTES) };
	return in->bytes || bmap_error_memory(err, source->name);
}

void map_input_of_text(struct map_input *in, const char *path, struct map_text *text)
{
	*in = (struct map_input){
		.path = path, .bytes = (uint8_t *)text->bytes, .len = text->len, .ended = true
	};
}

bool map_input_fill(struct map_input *in, struct bmap_error *err)
{
	if (in->ended)
		return true;
	memmove(in->bytes, in->bytes + in->at, in->len - in->at);
	in->len -= in->at;
	in->at = 0;
	while (!in->ended && in->len < MAP_INPUT_BYTES) {
		ssize_t n = source_read(in->source, in->bytes + in->len, MAP_INPUT_BYTES - in->len,
					err);

		if (n < 0)
			return false;
		in->ended = n == 0;
		in->len += (size_t)n;
	}
	return true;
}

bool map_input_read_all(struct map_input *in, struct map_text *text, struct bmap_error *err)
{
	for (;;) {
		size_t len = in->len - in->at;

		if (len > text->room - text->len)
			return map_text_too_long(text, in->path, err);
		memcpy(text->bytes + text->len, in->bytes + in->at, len);
		text->len += len;
		in->at = in->len;
		if (in->ended)
			return true;
		if (!map_input_fill(in, err))
			return false;
	}
}

void map_input_close(struct map_input *in)
{
	free(in->bytes);
	*in = (struct map_input){ 0 };
}
