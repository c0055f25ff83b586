/* SPDX-License-Identifier: MIT */
/* Reads a bmap with libxml2's SAX2 push interface: no tree is made, so that a range costs its 16
 * bytes and its checksum, and the text is handed over in pieces, so that it is not copied whole.
 *
 * Checks that need one range only are made where it ends, with its line; what needs all elements
 * (they may come in any order) is made at the end, after the file's own checksum. */
#include "bmap/xml_reader.h"

#include "base/checked.h"
#include "bmap/reader_internal.h"
#include "digest/digest.h"

#include <bmap/map.h>
#include <inttypes.h>
#include <libxml/parser.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (32u * 1024u)
#define MAX_DEPTH 32
/* Unknown elements, attributes and so on, together. libxml2 keeps every name it meets in a table
 * that gets slow: 2.5 million names take it minutes. */
#define MAX_EXTRAS 100000

#if LIBXML_VERSION >= 21200
typedef const xmlError *xml_error;
#else
typedef xmlErrorPtr xml_error;
#endif

enum element {
	EL_OTHER, /* unknown, passed over: later minor versions may add some */
	EL_IMAGE_SIZE,
	EL_BLOCK_SIZE,
	EL_BLOCKS_COUNT,
	EL_MAPPED_BLOCKS_COUNT,
	EL_CHECKSUM_TYPE,
	EL_OWN_CHECKSUM,
	EL_BLOCK_MAP,
	EL_ROOT,
	EL_RANGE,
};

/* What the children of the root are called. EL_OWN_CHECKSUM depends on the version. */
static const char *const child_names[] = {
	[EL_OTHER] = "",
	[EL_IMAGE_SIZE] = "ImageSize",
	[EL_BLOCK_SIZE] = "BlockSize",
	[EL_BLOCKS_COUNT] = "BlocksCount",
	[EL_MAPPED_BLOCKS_COUNT] = "MappedBlocksCount",
	[EL_CHECKSUM_TYPE] = "ChecksumType",
	[EL_OWN_CHECKSUM] = "BmapFileChecksum",
	[EL_BLOCK_MAP] = "BlockMap",
};

struct reader {
	const char *name;
	struct bmap_error *err;
	bool failed; /* err is filled; callbacks do nothing any more */
	xmlParserCtxtPtr ctxt;
	struct bmap_map *map;
	size_t capacity; /* of the map's arrays, in ranges */

	/* What the version stands for. */
	const char *own_name; /* element of the file's own checksum, NULL: has none */
	const char *range_attribute; /* of a range's checksum, NULL: has none */
	bool tells_type; /* has ChecksumType */

	bool at_end; /* the parser has all text */
	size_t depth; /* open elements */
	size_t extras; /* names met that are neither ranges nor their checksums */
	const xmlChar *last_attribute; /* first one of the range before; only compared */
	size_t ignore_depth; /* that of the open element which is passed over, or 0 */
	enum element current; /* the open known element */
	unsigned seen; /* bit per enum element */

	struct element_text text; /* of the open element */

	/* The open range's checksum. */
	uint8_t range_digest[BMAP_DIGEST_MAX_BYTES];
	size_t range_digest_bytes; /* 0: none */
	bool has_type; /* ChecksumType was read, or the version implies one */
	enum bmap_digest type;
	int first_digest_line;

	char own_digits[TEXT_BYTES];
};

static void parse_all(struct reader *r, const char *text, size_t len);
static bool check_whole(struct reader *r, const char *text, size_t len);
static void look_on(struct reader *r, const char *text, size_t len, struct map_findings *findings);

/* Makes the error of a place in the file, the first one only. The callbacks do nothing from then
 * on, and parse_all() gives the parser no more text. */
static void fail(struct reader *r, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void init_libxml(void)
{
	xmlInitParser();
}

bool bmap_map_parse(struct bmap_map **out, const char *text, size_t len, const char *name,
		    struct bmap_error *err)
{
	return map_parse(out, text, len, name, NULL, err);
}

bool map_parse(struct bmap_map **out, const char *text, size_t len, const char *name,
	       struct map_findings *findings, struct bmap_error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct bmap_error own_err = { 0 };
	struct reader r = { .name = name, .err = err ? err : &own_err };

	*out = NULL;
	pthread_once(&once, init_libxml);
	if (!bmap_head_check(text, min_u64(len, BMAP_HEAD_BYTES), name, err))
		return false;
	if (memchr(text, '\0', len))
		return bmap_error_set(err, BMAP_ERR_MAP, "%s: not a bmap file: has NUL bytes in it",
				      name);
	if (!markup_check(text, len, name, err))
		return false;
	r.map = calloc(1, sizeof(*r.map));
	if (!r.map)
		return bmap_error_memory(err, name);
	parse_all(&r, text, len);
	if (r.failed || !check_whole(&r, text, len)) {
		if (findings)
			look_on(&r, text, len, findings);
		else
			bmap_map_free(r.map);
		return false;
	}
	if (findings) {
		findings->blocks_count = r.map->blocks_count;
		findings->has_own_checksum = findings->own_checksum_read =
			findings->own_checksum_good = r.own_name != NULL;
	}
	map_shrink(r.map, r.capacity);
	*out = r.map;
	return true;
}

static void fail(struct reader *r, const char *fmt, ...)
{
	char what[768];
	va_list args;

	if (r->failed)
		return;
	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	bmap_error_set(r->err, BMAP_ERR_MAP, "%s, line %d: %s", r->name,
		       xmlSAX2GetLineNumber(r->ctxt), what);
	r->failed = true;
}

static void fail_memory(struct reader *r)
{
	if (r->failed)
		return;
	bmap_error_memory(r->err, r->name);
	r->failed = true;
}

static void on_text(void *user, const xmlChar *text, int len)
{
	struct reader *r = user;

	if (!r->failed && !r->ignore_depth)
		text_add(&r->text, (const char *)text, (size_t)len);
}

static void number_end(struct reader *r, uint64_t *out)
{
	const char *p = r->text.bytes;
	char quoted[QUOTE_BYTES];

	if (!read_number(&p, out) || *p)
		fail(r, "<%s> must hold one number below 2^64, not \"%s\"", child_names[r->current],
		     quote_text(quoted, r->text.bytes, r->text.len));
}

/* ---- the root ---- */

struct attribute {
	const char *value;
	size_t len;
};

/* libxml2 gives 5 pointers an attribute: name, prefix, URI, value, behind its end. */
static bool find_attribute(const xmlChar **attributes, int count, const char *name,
			   struct attribute *out)
{
	for (int i = 0; i < count; i++) {
		const xmlChar **a = attributes + 5 * i;

		if (!a[1] && !strcmp((const char *)a[0], name)) {
			*out = (struct attribute){ (const char *)a[3], (size_t)(a[4] - a[3]) };
			return true;
		}
	}
	return false;
}

static bool read_version(struct reader *r, const struct attribute *version)
{
	char text[24], quoted[QUOTE_BYTES];
	uint64_t major, minor;
	const char *p = text;

	if (version->len < sizeof(text)) {
		memcpy(text, version->value, version->len);
		text[version->len] = '\0';
		if (read_number(&p, &major) && *p++ == '.' && read_number(&p, &minor) && !*p &&
		    major <= UINT_MAX && minor <= UINT_MAX) {
			r->map->version_major = (unsigned)major;
			r->map->version_minor = (unsigned)minor;
			return true;
		}
	}
	fail(r, "\"%s\" is not the version of a bmap, which is like \"2.0\"",
	     quote_text(quoted, version->value, version->len));
	return false;
}

static void root_begin(struct reader *r, const char *element, bool plain,
		       const xmlChar **attributes, int count)
{
	struct attribute version;
	char quoted[QUOTE_BYTES];
	unsigned major, minor;

	r->current = EL_ROOT;
	if (!plain || strcmp(element, "bmap")) {
		fail(r, "not a bmap file: its root element is <%s>%s, not <bmap>",
		     quote_text(quoted, element, strlen(element)), plain ? "" : " in a namespace");
		return;
	}
	if (!find_attribute(attributes, count, "version", &version)) {
		fail(r, "<bmap> has no version attribute");
		return;
	}
	if (!read_version(r, &version))
		return;
	major = r->map->version_major;
	minor = r->map->version_minor;
	if (major < 1 || major > 2) {
		fail(r, "bmap version %u.%u is not supported, only versions 1.0 to 2.x are%s",
		     major, minor, major > 2 ? "; a newer bmaptool may know it" : "");
		return;
	}
	if (major == 2 || minor >= 4) { /* 1.4 is 2.0 under a number that was a mistake */
		r->own_name = "BmapFileChecksum";
		r->range_attribute = "chksum";
		r->tells_type = true;
		return;
	}
	r->own_name = minor == 3 ? "BmapFileSHA1" : NULL;
	r->range_attribute = minor >= 2 ? "sha1" : NULL;
	r->has_type = minor >= 2;
	r->type = minor >= 2 ? BMAP_DIGEST_SHA1 : BMAP_DIGEST_NONE;
}

/* ---- its children ---- */

/* NULL: this version has none, and what is called so means nothing. */
static const char *child_name(const struct reader *r, enum element element)
{
	if (element == EL_OWN_CHECKSUM)
		return r->own_name;
	return element == EL_CHECKSUM_TYPE && !r->tells_type ? NULL : child_names[element];
}

static void child_begin(struct reader *r, const char *element, bool plain)
{
	r->current = EL_OTHER;
	for (size_t i = EL_OTHER + 1; plain && i < ARRAY_LEN(child_names); i++) {
		const char *known = child_name(r, (enum element)i);

		if (known && !strcmp(element, known))
			r->current = (enum element)i;
	}
	if (r->current == EL_OTHER) {
		r->ignore_depth = r->depth;
		return;
	}
	if (r->seen & 1u << r->current)
		fail(r, "a second <%s>", element);
	r->seen |= 1u << r->current;
}

static void type_end(struct reader *r)
{
	char quoted[QUOTE_BYTES];

	if (!bmap_digest_from_name(r->text.bytes, &r->type)) {
		fail(r,
		     "checksum type \"%s\" is not supported, only md5, sha1, sha224, sha256, "
		     "sha384, "
		     "sha512",
		     quote_text(quoted, r->text.bytes, r->text.len));
		return;
	}
	r->has_type = true;
}

static void child_end(struct reader *r)
{
	switch (r->current) {
	case EL_IMAGE_SIZE:
		number_end(r, &r->map->image_size_bytes);
		break;
	case EL_BLOCK_SIZE:
		number_end(r, &r->map->block_size_bytes);
		break;
	case EL_BLOCKS_COUNT:
		number_end(r, &r->map->blocks_count);
		break;
	case EL_MAPPED_BLOCKS_COUNT:
		number_end(r, &r->map->mapped_blocks);
		break;
	case EL_CHECKSUM_TYPE:
		type_end(r);
		break;
	case EL_OWN_CHECKSUM:
		memcpy(r->own_digits, r->text.bytes, sizeof(r->own_digits));
		break;
	default:
		break;
	}
}

/* ---- ranges ---- */

static void range_begin(struct reader *r, const xmlChar **attributes, int count)
{
	struct attribute sum;
	char quoted[QUOTE_BYTES];

	r->current = EL_RANGE;
	r->range_digest_bytes = 0;
	if (!r->range_attribute || !find_attribute(attributes, count, r->range_attribute, &sum))
		return;
	while (sum.len && *sum.value == ' ') {
		sum.value++;
		sum.len--;
	}
	while (sum.len && sum.value[sum.len - 1] == ' ')
		sum.len--;
	r->range_digest_bytes = sum.len / 2;
	if (r->range_digest_bytes < 1 || r->range_digest_bytes > BMAP_DIGEST_MAX_BYTES ||
	    !digest_from_hex(sum.value, sum.len, r->range_digest, r->range_digest_bytes)) {
		fail(r, "\"%s\" is not a checksum in hexadecimal",
		     quote_text(quoted, sum.value, sum.len));
		return;
	}
	if (!r->map->digest_bytes) {
		r->map->digest_bytes = r->range_digest_bytes;
		r->first_digest_line = xmlSAX2GetLineNumber(r->ctxt);
	}
	if (r->has_type && r->range_digest_bytes != digest_length(r->type))
		fail(r, "the range's checksum is not a %s: it has %zu digits, not %zu",
		     bmap_digest_name(r->type), sum.len, 2 * digest_length(r->type));
	else if (r->range_digest_bytes != r->map->digest_bytes)
		fail(r, "the range's checksum has %zu digits, those before it %zu", sum.len,
		     2 * r->map->digest_bytes);
}

static void range_end(struct reader *r)
{
	struct bmap_map *map = r->map;
	struct bmap_range range = { 0 };
	char quoted[QUOTE_BYTES];
	const char *p = r->text.bytes;
	bool good = read_number(&p, &range.first_block);

	range.last_block = range.first_block;
	if (good && *p == '-') {
		p++;
		good = read_number(&p, &range.last_block);
	}
	if (!good || *p) {
		fail(r, "<Range> must hold \"FIRST-LAST\" or one block number, not \"%s\"",
		     quote_text(quoted, r->text.bytes, r->text.len));
		return;
	}
	if (range.last_block < range.first_block) {
		fail(r, "range %" PRIu64 "-%" PRIu64 " ends before it begins", range.first_block,
		     range.last_block);
		return;
	}
	if (map->range_count && range.first_block <= map->ranges[map->range_count - 1].last_block) {
		fail(r,
		     "range %" PRIu64 "-%" PRIu64 " overlaps the one before it or is out of order",
		     range.first_block, range.last_block);
		return;
	}
	if (!map_append(map, &r->capacity, &range, r->range_digest_bytes ? r->range_digest : NULL))
		fail_memory(r);
}

/* ---- the parser's callbacks ---- */

static void count_extras(struct reader *r, size_t count)
{
	r->extras += count;
	if (r->extras > MAX_EXTRAS)
		fail(r, "more than %d elements and attributes that are no ranges", MAX_EXTRAS);
}

static void on_start(void *user, const xmlChar *local, const xmlChar *prefix, const xmlChar *uri,
		     int namespace_count, const xmlChar **namespaces, int attribute_count,
		     int defaulted_count, const xmlChar **attributes)
{
	struct reader *r = user;
	const char *element = (const char *)local;
	bool plain = !prefix && !uri, range = plain && !strcmp(element, "Range");
	int extras = !range + namespace_count + attribute_count;
	char quoted[QUOTE_BYTES];

	(void)namespaces;
	(void)defaulted_count;
	/* Names are kept once: the same attribute in every range is one name. */
	if (range && attribute_count && attributes[0] == r->last_attribute)
		extras--;
	if (range && attribute_count)
		r->last_attribute = attributes[0];
	count_extras(r, (size_t)extras);
	if (r->failed)
		return;
	if (++r->depth > MAX_DEPTH) {
		fail(r, "elements nested more than %d deep", MAX_DEPTH);
		return;
	}
	if (r->ignore_depth)
		return;
	text_begin(&r->text);
	if (r->depth == 1)
		root_begin(r, element, plain, attributes, attribute_count);
	else if (r->depth == 2)
		child_begin(r, element, plain);
	else if (r->current != EL_BLOCK_MAP)
		fail(r, "element <%s> where only text may stand",
		     quote_text(quoted, element, strlen(element)));
	else if (range)
		range_begin(r, attributes, attribute_count);
	else
		r->ignore_depth = r->depth;
}

static void on_end(void *user, const xmlChar *local, const xmlChar *prefix, const xmlChar *uri)
{
	struct reader *r = user;

	(void)prefix;
	(void)uri;
	if (r->failed)
		return;
	if (r->ignore_depth) {
		if (r->ignore_depth == r->depth)
			r->ignore_depth = 0;
		r->depth--;
		return;
	}
	if (r->text.too_long && r->current != EL_ROOT && r->current != EL_BLOCK_MAP)
		fail(r, "the text of <%s> is too long", (const char *)local);
	else if (r->current == EL_RANGE)
		range_end(r);
	else
		child_end(r);
	r->depth--;
	r->current = r->depth == 2 ? EL_BLOCK_MAP : EL_ROOT;
	text_begin(&r->text);
}

static void on_instruction(void *user, const xmlChar *target, const xmlChar *data)
{
	(void)target;
	(void)data;
	count_extras(user, 1);
}

/* Entities, and what they can be made to do, come from here: no bmap has a DOCTYPE. */
static void on_doctype(void *user, const xmlChar *name, const xmlChar *external,
		       const xmlChar *system)
{
	struct reader *r = user;
	char quoted[QUOTE_BYTES];

	(void)external;
	(void)system;
	fail(r, "a document type (DOCTYPE %s), which no bmap file has",
	     quote_text(quoted, (const char *)name, strlen((const char *)name)));
	xmlStopParser(r->ctxt); /* what stands in it is not even read */
}

static void on_error(void *user, xml_error error)
{
	struct reader *r = user;
	char quoted[QUOTE_BYTES];
	size_t len = error->message ? strcspn(error->message, "\n") : 0;

	if (error->level < XML_ERR_ERROR)
		return;
	if (error->code == XML_ERR_NO_MEMORY)
		fail_memory(r);
	else if (error->code == XML_ERR_INTERNAL_ERROR && /* "Huge input lookup", "...too long" */
		 error->message && strcasestr(error->message, "huge"))
		fail(r, "a text, comment or tag that is longer than the XML parser allows");
	else if (r->at_end && r->depth)
		fail(r, "the file ends in the middle: it is truncated");
	else if (r->at_end && !r->map->version_major)
		fail(r, "not a bmap file: it has no element");
	else
		fail(r, "not well-formed XML: %s", quote_text(quoted, error->message, len));
}

static void parse_all(struct reader *r, const char *text, size_t len)
{
	xmlSAXHandler sax = {
		.initialized = XML_SAX2_MAGIC,
		.startElementNs = on_start,
		.endElementNs = on_end,
		.characters = on_text,
		.ignorableWhitespace = on_text,
		.cdataBlock = on_text,
		.processingInstruction = on_instruction,
		.internalSubset = on_doctype,
		.serror = (xmlStructuredErrorFunc)on_error,
	};

	r->ctxt = xmlCreatePushParserCtxt(&sax, r, NULL, 0, NULL);
	if (!r->ctxt) {
		bmap_error_memory(r->err, r->name);
		r->failed = true;
		return;
	}
	xmlCtxtUseOptions(r->ctxt, XML_PARSE_NONET);
	for (size_t at = 0; at < len && !r->failed;) {
		size_t n = (size_t)min_u64(CHUNK_BYTES, len - at);

		xmlParseChunk(r->ctxt, text + at, (int)n, 0);
		at += n;
	}
	r->at_end = true;
	if (!r->failed)
		xmlParseChunk(r->ctxt, NULL, 0, 1);
	/* Whatever it did not tell. */
	if (!r->failed &&
	    (!r->ctxt->wellFormed || r->ctxt->errNo || r->depth || !r->map->version_major))
		fail(r, "not well-formed XML");
	xmlFreeDoc(r->ctxt->myDoc);
	xmlFreeParserCtxt(r->ctxt);
	r->ctxt = NULL;
}

/* ---- what only the whole file can say ---- */

static bool check_present(const struct reader *r)
{
	for (size_t i = EL_OTHER + 1; i < ARRAY_LEN(child_names); i++) {
		const char *element = child_name(r, (enum element)i);

		if (!element || r->seen & 1u << i)
			continue;
		return bmap_error_set(r->err, BMAP_ERR_MAP,
				      "%s: not a whole bmap file: <%s> is missing", r->name,
				      element);
	}
	return true;
}

static bool check_digests(struct reader *r)
{
	struct bmap_map *map = r->map;
	size_t digest_bytes = digest_length(r->type);

	/* ChecksumType stood behind the ranges. */
	if (map->digest_bytes && map->digest_bytes != digest_bytes)
		return bmap_error_set(r->err, BMAP_ERR_MAP,
				      "%s, line %d: the range's checksum is not a %s: it has %zu "
				      "digits, not %zu",
				      r->name, r->first_digest_line, bmap_digest_name(r->type),
				      2 * map->digest_bytes, 2 * digest_bytes);
	/* 1.2 says nothing about checksums: only its ranges do. */
	map->digest = r->own_name || map->digests ? r->type : BMAP_DIGEST_NONE;
	map->digest_bytes = digest_length(map->digest);
	return true;
}

static bool check_whole(struct reader *r, const char *text, size_t len)
{
	return check_present(r) &&
	       (!r->own_name || own_checksum_check(text, len, r->own_name, r->own_digits, r->type,
						   r->name, r->err)) &&
	       check_digests(r) && map_check(r->map, r->name, r->err);
}

/* The first error stands; what else can be said of the map? */
static void look_on(struct reader *r, const char *text, size_t len, struct map_findings *findings)
{
	struct bmap_map *map = r->map;
	struct bmap_error ignored;

	findings->has_own_checksum = r->own_name != NULL;
	/* Over a text that was not read to its end it says nothing. */
	findings->own_checksum_read =
		r->own_name && !r->failed && r->has_type && (r->seen & 1u << EL_OWN_CHECKSUM);
	findings->own_checksum_good = findings->own_checksum_read &&
				      own_checksum_check(text, len, r->own_name, r->own_digits,
							 r->type, r->name, &ignored);
	findings->blocks_count = map->blocks_count;
	map->digest = r->has_type && (r->own_name || map->digests) ? r->type : BMAP_DIGEST_NONE;
	if (map->digest_bytes != digest_length(map->digest)) { /* whatever they are */
		free(map->digests);
		free(map->has_digest);
		map->digests = map->has_digest = NULL;
	}
	map->digest_bytes = digest_length(map->digest);
	map_trim(map);
	if (map->version_major)
		findings->partial = map;
	else
		bmap_map_free(map);
}
