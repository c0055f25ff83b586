/* SPDX-License-Identifier: MIT */
/* The XML parser says what the file's own checksum is, but not at which bytes it stands. This is a
 * walk over the raw bytes from tag to tag. It may take the file to be well-formed and without a
 * DOCTYPE: either it runs after the XML parser said so, or the parser will refuse the file. */
#include "bmap/reader_internal.h"

#include "digest/digest.h"

#include <string.h>

/* No bmap has tags of a tenth of this. */
#define TAG_MAX_BYTES 4096u

enum tag_kind { TAG_OPEN, TAG_CLOSE, TAG_EMPTY, TAG_TOO_LONG, TAG_NONE };

struct walk {
	const char *at, *end;
};

struct tag {
	const char *begin; /* at its '<' */
	const char *end; /* behind its '>' */
};

static enum tag_kind walk_next(struct walk *walk, struct tag *tag);
static bool find_text(const char *text, size_t len, const char *element, const char **found,
		      size_t *found_len);

bool markup_check(const char *text, size_t len, const char *name, struct bmap_error *err)
{
	struct walk walk = { text, text + len };
	struct tag tag;
	enum tag_kind kind;
	size_t line = 1;

	do {
		kind = walk_next(&walk, &tag);
	} while (kind != TAG_TOO_LONG && kind != TAG_NONE);
	if (kind == TAG_NONE)
		return true;
	for (const char *p = text; (p = memchr(p, '\n', (size_t)(tag.begin - p))) != NULL; p++)
		line++;
	return bmap_error_set(err, BMAP_ERR_MAP,
			      "%s, line %zu: not a usable bmap file: a tag of more than %u bytes",
			      name, line, TAG_MAX_BYTES);
}

bool own_checksum_check(const char *text, size_t len, const char *element, const char *digits,
			enum bmap_digest digest, const char *name, struct bmap_error *err)
{
	char zeros[2 * BMAP_DIGEST_MAX_BYTES], computed[2 * BMAP_DIGEST_MAX_BYTES + 1];
	uint8_t said[BMAP_DIGEST_MAX_BYTES], is[BMAP_DIGEST_MAX_BYTES];
	size_t digest_bytes = digest_length(digest), found_len;
	struct hasher *hasher;
	const char *found;

	if (!digest_from_hex(digits, strlen(digits), said, digest_bytes))
		return bmap_error_set(err, BMAP_ERR_MAP,
				      "%s: the file's own checksum in <%s> is not a %s checksum: "
				      "it must be %zu hexadecimal digits",
				      name, element, bmap_digest_name(digest), 2 * digest_bytes);
	if (!find_text(text, len, element, &found, &found_len) || found_len != strlen(digits) ||
	    memcmp(found, digits, found_len))
		return bmap_error_set(err, BMAP_ERR_MAP,
				      "%s: the file's own checksum in <%s> cannot be checked: it "
				      "must stand there as plain text",
				      name, element);
	hasher = hasher_new(digest, err);
	if (!hasher)
		return false;
	memset(zeros, '0', sizeof(zeros));
	hasher_begin(hasher);
	hasher_update(hasher, text, (size_t)(found - text));
	hasher_update(hasher, zeros, found_len);
	hasher_update(hasher, found + found_len, len - (size_t)(found - text) - found_len);
	hasher_finish(hasher, is);
	hasher_free(hasher);
	if (!memcmp(is, said, digest_bytes))
		return true;
	digest_to_hex(is, digest_bytes, computed);
	return bmap_error_set(err, BMAP_ERR_MAP,
			      "%s: checksum mismatch: the bmap file is corrupt or was changed (its "
			      "%s is %s, in the file stands %s); get it again or create it anew",
			      name, bmap_digest_name(digest), computed, digits);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool tag_is(const struct tag *tag, const char *element)
{
	size_t len = strlen(element);

	return (size_t)(tag->end - tag->begin) > len + 1 && !memcmp(tag->begin + 1, element, len) &&
	       (is_space(tag->begin[1 + len]) || tag->begin[1 + len] == '>');
}

/* The text of the root's first child of that name, without the spaces around it. */
static bool find_text(const char *text, size_t len, const char *element, const char **found,
		      size_t *found_len)
{
	struct walk walk = { text, text + len };
	const char *begin, *end;
	struct tag tag;
	size_t depth = 0;

	for (;;) {
		switch (walk_next(&walk, &tag)) {
		case TAG_OPEN:
			if (depth++ != 1 || !tag_is(&tag, element))
				continue;
			break;
		case TAG_CLOSE:
			if (!depth--)
				return false;
			continue;
		case TAG_EMPTY:
			continue;
		case TAG_TOO_LONG:
		case TAG_NONE:
			return false;
		}
		break;
	}
	begin = tag.end;
	end = memchr(begin, '<', (size_t)(walk.end - begin));
	if (!end)
		return false;
	while (begin < end && is_space(*begin))
		begin++;
	while (end > begin && is_space(end[-1]))
		end--;
	*found = begin;
	*found_len = (size_t)(end - begin);
	return true;
}

/* If markup that begins with intro is at walk->at, passes it up to and with outro. */
static bool walk_skip(struct walk *walk, const char *intro, const char *outro)
{
	size_t left = (size_t)(walk->end - walk->at), intro_len = strlen(intro);
	const char *p;

	if (left < intro_len || memcmp(walk->at, intro, intro_len))
		return false;
	p = memmem(walk->at + intro_len, left - intro_len, outro, strlen(outro));
	walk->at = p ? p + strlen(outro) : walk->end;
	return true;
}

/* Passes comments, CDATA sections, processing instructions and text. TAG_NONE: no more. */
static enum tag_kind walk_next(struct walk *walk, struct tag *tag)
{
	char quote = 0;

	for (;;) {
		walk->at = memchr(walk->at, '<', (size_t)(walk->end - walk->at));
		if (!walk->at) {
			walk->at = walk->end;
			return TAG_NONE;
		}
		if (!walk_skip(walk, "<!--", "-->") && !walk_skip(walk, "<![CDATA[", "]]>") &&
		    !walk_skip(walk, "<?", "?>"))
			break;
	}
	tag->begin = walk->at;
	if (walk->end - walk->at > 1 && walk->at[1] == '!') { /* DOCTYPE: the parser stops here */
		walk->at = walk->end;
		return TAG_NONE;
	}
	for (const char *p = tag->begin + 1; p < walk->end; p++) {
		if ((size_t)(p - tag->begin) >= TAG_MAX_BYTES)
			return TAG_TOO_LONG;
		if (quote) {
			if (*p == quote)
				quote = 0;
		} else if (*p == '"' || *p == '\'') {
			quote = *p;
		} else if (*p == '>') {
			tag->end = walk->at = p + 1;
			if (tag->begin[1] == '/')
				return TAG_CLOSE;
			return p[-1] == '/' ? TAG_EMPTY : TAG_OPEN;
		}
	}
	walk->at = walk->end;
	return TAG_NONE;
}
