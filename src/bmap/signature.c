/* SPDX-License-Identifier: MIT */
/* Names, the clearsigned form, fingerprints, and the verdict. */
#include "bmap/signature.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

#define BEGIN_MESSAGE "-----BEGIN PGP SIGNED MESSAGE-----"
#define BEGIN_SIGNATURE "-----BEGIN PGP SIGNATURE-----"

const char *const signature_endings[] = { ".asc", ".sig", NULL };

static size_t line_length(const char *bytes, size_t len);
static bool line_is(const char *line, size_t len, const char *what);
static bool judge_problem(const struct signature_report *report,
			  const struct signature_question *question, struct bmap_error *err);
static bool refuse(const struct signature *signature, const struct signature_question *question,
		   struct bmap_error *err);

char *signature_name(const char *bmap, const char *ending)
{
	size_t len = strlen(bmap), stem = strstr(bmap, "://") ? strcspn(bmap, "?#") : len;
	size_t ending_len = strlen(ending);
	char *name = malloc(len + ending_len + 1);

	if (!name)
		return NULL;
	memcpy(name, bmap, stem);
	memcpy(name + stem, ending, ending_len);
	memcpy(name + stem + ending_len, bmap + stem, len - stem + 1);
	return name;
}

bool clearsigned(const char *head, size_t len)
{
	return line_is(head, line_length(head, len), BEGIN_MESSAGE);
}

bool clearsigned_text(char *bytes, size_t *len, const char *name, struct bmap_error *err)
{
	size_t at = 0, out = 0, n;
	bool in_text = false;

	for (; at < *len; at += n) {
		const char *line = bytes + at;

		n = line_length(line, *len - at);
		if (!in_text) { /* the first line, "Hash: ..." and an empty line */
			in_text = line_is(line, n, "");
		} else if (line_is(line, n, BEGIN_SIGNATURE)) {
			*len = out;
			return true;
		} else {
			/* A line that begins with a dash was escaped by "- " (RFC 4880 7.1). */
			size_t skip = n >= 2 && !memcmp(line, "- ", 2) ? 2 : 0;

			memmove(bytes + out, line + skip, n - skip);
			out += n - skip;
		}
	}
	return bmap_error_set(err, BMAP_ERR_MAP,
			      "%s: begins as a signed text, but is cut off before its signature",
			      name);
}

/* With its newline, if it has one. */
static size_t line_length(const char *bytes, size_t len)
{
	const char *newline = memchr(bytes, '\n', len);

	return newline ? (size_t)(newline - bytes) + 1 : len;
}

static bool line_is(const char *line, size_t len, const char *what)
{
	while (len && strchr(" \t\r\n", line[len - 1]) && line[len - 1])
		len--;
	return len == strlen(what) && !memcmp(line, what, len);
}

bool signature_fingerprint(const char *text, char out[SIGNATURE_FINGERPRINT_ROOM],
			   struct bmap_error *err)
{
	size_t n = 0;

	for (const char *p = text; *p; p++) {
		char c = *p;

		if (c == ' ' || c == '\t')
			continue;
		if (c >= 'a' && c <= 'f')
			c = (char)(c - 'a' + 'A');
		if (n == SIGNATURE_FINGERPRINT_ROOM - 1 ||
		    !((c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'))) {
			n = 0;
			break;
		}
		out[n++] = c;
	}
	out[n] = '\0';
	if (n == 40 || n == 64)
		return true;
	return bmap_error_set(err, BMAP_ERR_USAGE,
			      "--fingerprint '%.100s': a full fingerprint is needed, 40 or 64 "
			      "hexadecimal digits: shorter key IDs can be forged",
			      text);
}

bool signature_is_by(const struct signature *signature, const char *fingerprint)
{
	if (!fingerprint)
		return true;
	return signature->valid && (!strcmp(signature->fingerprint, fingerprint) ||
				    !strcmp(signature->primary, fingerprint));
}

const char *signature_verdict_text(enum signature_verdict verdict)
{
	static const char *const texts[] = {
		[SIGNATURE_GOOD] = "it is good",
		[SIGNATURE_BAD] = "the bmap or its signature was changed after it was signed",
		[SIGNATURE_EXPIRED] = "the signature has expired",
		[SIGNATURE_KEY_EXPIRED] = "the key has expired",
		[SIGNATURE_KEY_REVOKED] = "the key was revoked",
		[SIGNATURE_KEY_DISTRUSTED] = "gpg was told never to trust the key",
		[SIGNATURE_KEY_UNKNOWN] = "cannot verify the signature: no matching key found",
		[SIGNATURE_UNCHECKED] = "cannot verify the signature: GnuPG could not check it",
	};

	return texts[verdict];
}

bool signature_judge(const struct signature_report *report,
		     const struct signature_question *question, struct bmap_error *err)
{
	const struct signature *other = NULL, *wanted = NULL;

	for (size_t i = 0; i < report->count; i++)
		if (report->found[i].verdict == SIGNATURE_BAD)
			return refuse(&report->found[i], question, err);
	if (!judge_problem(report, question, err))
		return false;
	for (size_t i = 0; i < report->count; i++) {
		const struct signature *s = &report->found[i];

		if (!signature_is_by(s, question->fingerprint)) {
			if (!other || s->verdict == SIGNATURE_GOOD)
				other = s;
		} else if (s->verdict == SIGNATURE_GOOD && s->valid) {
			return true;
		} else {
			wanted = s;
		}
	}
	if (wanted || other->verdict != SIGNATURE_GOOD)
		return refuse(wanted ? wanted : other, question, err);
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: the requested fingerprint %s did not sign the bmap file: it was "
			      "signed by %s (fingerprint %s)",
			      question->signature, question->fingerprint, other->user,
			      other->fingerprint);
}

/* What speaks against all signatures at once. */
static bool judge_problem(const struct signature_report *report,
			  const struct signature_question *question, struct bmap_error *err)
{
	size_t not_good = 0;

	for (size_t i = 0; i < report->count; i++)
		not_good += report->found[i].verdict != SIGNATURE_GOOD;
	if (!report->count)
		return bmap_error_set(err, BMAP_ERR_REFUSED,
				      "%s: cannot verify the signature: GnuPG finds none in it "
				      "(%s); fix the problem, or use --no-sig-verify",
				      question->signature, question->program_said);
	/* Its failure has to be explained by a signature that is not good, and by nothing else:
	 * broken data behind a good signature, a second signed text. */
	if (!question->program_succeeded && (!not_good || report->failed))
		return bmap_error_set(err, BMAP_ERR_REFUSED,
				      "%s: cannot verify the signature: GnuPG failed (%s); fix the "
				      "problem, or use --no-sig-verify",
				      question->signature, question->program_said);
	/* A detached signature file that brings its own text does not sign the bmap; of two signed
	 * texts it would not be clear which one is meant. */
	if (report->plaintexts != (question->clearsigned ? 1 : 0))
		return bmap_error_set(err, BMAP_ERR_REFUSED,
				      "%s: cannot verify the signature: the file holds %s signed "
				      "texts",
				      question->signature,
				      question->clearsigned ? "no or several" : "its own");
	return true;
}

static bool refuse(const struct signature *signature, const struct signature_question *question,
		   struct bmap_error *err)
{
	const char *reason = signature_verdict_text(signature->verdict);
	const char *more = "", *what = "", *advice = "fix the problem, or use --no-sig-verify";

	if (signature->verdict == SIGNATURE_BAD) {
		advice = "get both again from where you trust them";
	} else if (signature->verdict == SIGNATURE_KEY_UNKNOWN) {
		more = " in ";
		what = question->keyring ? question->keyring : "your gpg keyring";
	} else if (signature->verdict == SIGNATURE_UNCHECKED) {
		more = ": ";
		what = question->program_said;
	}
	return bmap_error_set(err, BMAP_ERR_REFUSED,
			      "%s: discovered a BAD GPG signature%s%s (key %s): %s%s%s; %s",
			      question->signature, signature->user[0] ? " of " : "",
			      signature->user,
			      signature->valid ? signature->fingerprint : signature->key, reason,
			      more, what, advice);
}
