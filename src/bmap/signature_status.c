/* SPDX-License-Identifier: MIT */
/* The lines of GnuPG's --status-fd (its doc/DETAILS). For each signature exactly one of six verdict
 * lines comes; VALIDSIG, with the fingerprints, follows where the arithmetic was right, also for an
 * expired or revoked key: it alone says nothing. */
#include "bmap/signature.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX "[GNUPG:] "
#define LINE_MAX_BYTES 8192u
#define FIELDS_MAX 12u
#define ERRSIG_NO_KEY "9" /* its reason field */

struct field {
	const char *text;
	size_t len;
};

/* The keyword and what follows it: fields are cut at single spaces, rest is everything. */
struct line {
	struct field keyword, rest;
	struct field fields[FIELDS_MAX];
	size_t count;
};

static bool line_parse(struct line *line, const char *text, size_t len);
static bool line_take(struct signature_report *report, const struct line *line);
static bool take_verdict(struct signature_report *report, const struct line *line,
			 enum signature_verdict verdict);
static bool take_valid(struct signature_report *report, const struct line *line);
static void take_error(struct signature_report *report, const struct line *line);
static void take_trust(struct signature_report *report, bool never, bool certified);

static const struct {
	const char *keyword;
	enum signature_verdict verdict;
} verdicts[] = {
	{ "GOODSIG", SIGNATURE_GOOD },          { "BADSIG", SIGNATURE_BAD },
	{ "EXPSIG", SIGNATURE_EXPIRED },        { "EXPKEYSIG", SIGNATURE_KEY_EXPIRED },
	{ "REVKEYSIG", SIGNATURE_KEY_REVOKED }, { "ERRSIG", SIGNATURE_UNCHECKED },
};

bool signature_report_parse(struct signature_report *report, const char *text, size_t len,
			    struct bmap_error *err)
{
	struct line line;

	*report = (struct signature_report){ 0 };
	while (len) {
		const char *newline = memchr(text, '\n', len);
		size_t n = newline ? (size_t)(newline - text) : 0;

		if (!newline || n > LINE_MAX_BYTES || !line_parse(&line, text, n) ||
		    !line_take(report, &line)) {
			*report = (struct signature_report){ 0 };
			return bmap_error_set(err, BMAP_ERR_REFUSED,
					      "cannot verify the signature: GnuPG's report is not "
					      "understood, or speaks of more than %d signatures",
					      SIGNATURE_MAX);
		}
		text += n + 1;
		len -= n + 1;
	}
	for (size_t i = 0; i < report->count; i++)
		if (report->found[i].verdict == SIGNATURE_GOOD && !report->found[i].valid)
			report->found[i].verdict = SIGNATURE_UNCHECKED;
	return true;
}

static struct field cut_field(const char *text, size_t len)
{
	const char *space = memchr(text, ' ', len);

	return (struct field){ text, space ? (size_t)(space - text) : len };
}

static bool line_parse(struct line *line, const char *text, size_t len)
{
	size_t prefix = strlen(PREFIX), at;

	if (len <= prefix || memcmp(text, PREFIX, prefix) != 0 || memchr(text, '\0', len))
		return false;
	line->keyword = cut_field(text + prefix, len - prefix);
	at = prefix + line->keyword.len + 1;
	line->rest = at < len ? (struct field){ text + at, len - at } : (struct field){ "", 0 };
	line->count = 0;
	while (at < len && line->count < FIELDS_MAX) {
		struct field *field = &line->fields[line->count++];

		*field = cut_field(text + at, len - at);
		at += field->len + 1;
	}
	return line->keyword.len > 0;
}

static bool field_is(struct field field, const char *text)
{
	return field.len == strlen(text) && !memcmp(field.text, text, field.len);
}

static bool line_take(struct signature_report *report, const struct line *line)
{
	for (size_t i = 0; i < ARRAY_LEN(verdicts); i++)
		if (field_is(line->keyword, verdicts[i].keyword))
			return take_verdict(report, line, verdicts[i].verdict);
	if (field_is(line->keyword, "VALIDSIG"))
		return take_valid(report, line);
	if (field_is(line->keyword, "PLAINTEXT"))
		report->plaintexts++;
	else if (field_is(line->keyword, "ERROR"))
		take_error(report, line);
	else if (field_is(line->keyword, "NODATA") || field_is(line->keyword, "UNEXPECTED"))
		report->failed = true;
	else if (field_is(line->keyword, "TRUST_NEVER"))
		take_trust(report, true, false);
	else if (field_is(line->keyword, "TRUST_FULLY") ||
		 field_is(line->keyword, "TRUST_ULTIMATE"))
		take_trust(report, false, true);
	return true; /* others are news that change nothing */
}

/* Upper case digits, as GnuPG writes them. */
static bool hex_copy(char *out, struct field field, size_t min, size_t max)
{
	if (field.len < min || field.len > max)
		return false;
	for (size_t i = 0; i < field.len; i++)
		if (!field.text[i] || !strchr("0123456789ABCDEF", field.text[i]))
			return false;
	memcpy(out, field.text, field.len);
	out[field.len] = '\0';
	return true;
}

static bool fingerprint_copy(char *out, struct field field)
{
	return (field.len == 40 || field.len == 64) && hex_copy(out, field, 40, 64);
}

static int hex_value(char c)
{
	const char *digits = "0123456789abcdef", *at;

	if (c >= 'A' && c <= 'F')
		c = (char)(c - 'A' + 'a');
	at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

/* A user ID may hold anything; what a terminal would obey is not passed on. */
static void user_copy(char out[SIGNATURE_USER_ROOM], struct field field)
{
	size_t n = 0;

	for (size_t i = 0; i < field.len && n < SIGNATURE_USER_ROOM - 1; i++) {
		unsigned char c = (unsigned char)field.text[i];

		if (c == '%' && field.len - i > 2 && hex_value(field.text[i + 1]) >= 0 &&
		    hex_value(field.text[i + 2]) >= 0) {
			c = (unsigned char)(hex_value(field.text[i + 1]) * 16 +
					    hex_value(field.text[i + 2]));
			i += 2;
		}
		out[n++] = (char)(c < 0x20 || c == 0x7f ? '?' : c);
	}
	out[n] = '\0';
}

static bool take_verdict(struct signature_report *report, const struct line *line,
			 enum signature_verdict verdict)
{
	struct signature *s;

	if (report->count == SIGNATURE_MAX || !line->count)
		return false;
	s = &report->found[report->count++];
	s->verdict = verdict;
	if (!hex_copy(s->key, line->fields[0], 16, 64))
		return false;
	if (verdict != SIGNATURE_UNCHECKED) {
		size_t user = line->fields[0].len + 1;

		if (line->rest.len > user)
			user_copy(s->user,
				  (struct field){ line->rest.text + user, line->rest.len - user });
	} else if (line->count > 5 && field_is(line->fields[5], ERRSIG_NO_KEY)) {
		s->verdict = SIGNATURE_KEY_UNKNOWN;
	}
	return true;
}

/* A key's ID is the end of a version 4 fingerprint, and the beginning of a later one. */
static bool key_fits(const char *key, const char *fingerprint)
{
	size_t n = strlen(key), len = strlen(fingerprint);

	if (n > len)
		return false;
	return !memcmp(key, len == 40 ? fingerprint + len - n : fingerprint, n);
}

/* VALIDSIG fingerprint date time expires version reserved key-algorithm digest class [primary] */
static bool take_valid(struct signature_report *report, const struct line *line)
{
	struct signature *s = report->count ? &report->found[report->count - 1] : NULL;

	if (!s || s->valid || line->count < 9 || s->verdict == SIGNATURE_BAD ||
	    s->verdict == SIGNATURE_UNCHECKED || s->verdict == SIGNATURE_KEY_UNKNOWN)
		return false;
	if (!fingerprint_copy(s->fingerprint, line->fields[0]) || !key_fits(s->key, s->fingerprint))
		return false;
	/* Of bytes or of a text: a signature on a key is none on a file. */
	if (!field_is(line->fields[8], "00") && !field_is(line->fields[8], "01"))
		return false;
	if (line->count > 9 && !fingerprint_copy(s->primary, line->fields[9]))
		return false;
	s->valid = true;
	return true;
}

/* A keyring that cannot be opened, or is searched in vain, ends in a key that is unknown. */
static void take_error(struct signature_report *report, const struct line *line)
{
	if (!line->count || (!field_is(line->fields[0], "add_keyblock_resource") &&
			     !field_is(line->fields[0], "keydb_search")))
		report->failed = true;
}

static void take_trust(struct signature_report *report, bool never, bool certified)
{
	struct signature *s = report->count ? &report->found[report->count - 1] : NULL;

	if (!s)
		return;
	s->certified = certified;
	if (never && s->verdict == SIGNATURE_GOOD)
		s->verdict = SIGNATURE_KEY_DISTRUSTED;
}
