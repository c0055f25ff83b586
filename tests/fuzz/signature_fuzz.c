/* SPDX-License-Identifier: MIT */
/* Status lines of any bytes are refused, or give a report that keeps its promises; what is judged
 * good has a GOODSIG and a VALIDSIG line. The same bytes as a clearsigned file: no text comes out
 * that was not in it. */
#include "bmap/signature.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static void check_error(const struct bmap_error *err)
{
	require(err->code != BMAP_ERR_NONE && err->text[0] && !strchr(err->text, '\n'),
		"one line of error");
}

static void check_signature(const struct signature *s)
{
	size_t key = strlen(s->key), fingerprint = strlen(s->fingerprint);

	require(key >= 16 && key <= 64, "a key has a name");
	require(s->valid == (fingerprint > 0), "valid with a fingerprint");
	require(!fingerprint || fingerprint == 40 || fingerprint == 64, "a whole fingerprint");
	require(s->verdict != SIGNATURE_GOOD || s->valid, "good only if valid");
	require(s->verdict != SIGNATURE_BAD || !s->valid, "never bad and valid");
	for (const char *p = s->user; *p; p++)
		require((unsigned char)*p >= 0x20 && *p != 0x7f, "nothing that a terminal obeys");
}

static void check_report(const uint8_t *data, size_t len)
{
	struct signature_question question = { .signature = "fuzz.asc",
					       .program_succeeded = true,
					       .program_said = "" };
	struct signature_report report;
	struct bmap_error err = { 0 };

	if (!signature_report_parse(&report, (const char *)data, len, &err)) {
		check_error(&err);
		require(!report.count, "nothing to be taken from it");
		return;
	}
	require(report.count <= SIGNATURE_MAX, "a bounded number");
	for (size_t i = 0; i < report.count; i++)
		check_signature(&report.found[i]);
	for (unsigned i = 0; i < 4; i++) {
		question.clearsigned = i & 1;
		question.fingerprint = i & 2 ? report.found[0].fingerprint : NULL;
		err = (struct bmap_error){ 0 };
		if (!signature_judge(&report, &question, &err))
			check_error(&err);
		else
			require(memmem(data, len, "[GNUPG:] GOODSIG ", 17) &&
					memmem(data, len, "[GNUPG:] VALIDSIG ", 18),
				"good without the two lines");
	}
}

static void check_clear_text(const uint8_t *data, size_t len)
{
	struct bmap_error err = { 0 };
	char *copy = malloc(len ? len : 1);
	size_t out = len;

	require(copy, "memory");
	memcpy(copy, data, len);
	if (clearsigned(copy, len)) {
		if (!clearsigned_text(copy, &out, "fuzz", &err))
			check_error(&err);
		require(out <= len, "the text is no longer than its file");
	}
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	check_report(data, len);
	check_clear_text(data, len);
	return 0;
}
