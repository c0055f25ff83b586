/* SPDX-License-Identifier: MIT */
#include "bmap/xml_reader.h"

#include "base/checked.h"
#include "bmap/reader_internal.h"

#include <string.h>

/* What people give in place of a bmap. Enough for a good message, no more: what is missing here is
 * still refused. */
static const struct signature {
	size_t offset;
	const char *bytes;
	size_t len;
	const char *what;
} signatures[] = {
	{ 512, "EFI PART", 8, "a disk image (GPT)" },
	{ 1080, "\x53\xef", 2, "an ext file system image" },
	{ 257, "ustar", 5, "a tar archive" },
	{ 510, "\x55\xaa", 2, "a disk image (MBR)" },
	{ 0, "PK\3\4", 4, "a zip archive" },
	{ 0, "\x3a\xff\x26\xed", 4, "an Android sparse image" },
	{ 0, "hsqs", 4, "a squashfs image" },
	{ 0, "\x1f\x8b", 2, "gzip data" },
	{ 0, "\x28\xb5\x2f\xfd", 4, "zstd data" },
	{ 0,
	  "\xfd"
	  "7zXZ",
	  5, "xz data" },
	{ 0, "BZh", 3, "bzip2 data" },
	{ 0, "\x04\x22\x4d\x18", 4, "lz4 data" },
};

static const char *what_it_is(const char *head, size_t len);

bool bmap_head_check(const char *head, size_t len, const char *name, struct bmap_error *err)
{
	size_t i = len >= 3 && !memcmp(head, "\xef\xbb\xbf", 3) ? 3 : 0;
	const char *what;

	if (!len)
		return bmap_error_set(err, BMAP_ERR_MAP, "%s: not a bmap file: it is empty", name);
	if (len >= 2 && (!memcmp(head, "\xff\xfe", 2) || !memcmp(head, "\xfe\xff", 2)))
		return bmap_error_set(err, BMAP_ERR_MAP,
				      "%s: not a bmap file that can be read: it is UTF-16 text, "
				      "convert it to UTF-8",
				      name);
	while (i < len && strchr(" \t\r\n", head[i]) && head[i])
		i++;
	if ((i == len || head[i] == '<') && !memchr(head, '\0', len))
		return true;
	what = what_it_is(head, len);
	if (what)
		return bmap_error_set(err, BMAP_ERR_MAP,
				      "%s: not a bmap file: it looks like %s; was the image given "
				      "in place of its bmap?",
				      name, what);
	return bmap_error_set(err, BMAP_ERR_MAP,
			      "%s: not a bmap file: it does not begin like an XML file", name);
}

static const char *what_it_is(const char *head, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(signatures); i++) {
		const struct signature *s = &signatures[i];

		if (len >= s->offset + s->len && !memcmp(head + s->offset, s->bytes, s->len))
			return s->what;
	}
	return memchr(head, '\0', len) ? "binary data" : NULL;
}

const char *quote_text(char *out, const char *text, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len && n < QUOTE_BYTES - 4; i++) {
		unsigned char c = (unsigned char)text[i];

		out[n++] = (char)(c >= 0x20 && c < 0x7f ? c : '?');
		if (n == QUOTE_BYTES - 4 && i + 1 < len) {
			memcpy(out + n, "...", 3);
			n += 3;
		}
	}
	out[n] = '\0';
	return out;
}
