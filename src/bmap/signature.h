/* SPDX-License-Identifier: MIT */
/* bmap/signature.h - OpenPGP signatures of a bmap, without the cryptography, which is GnuPG's
 * (job/signature_gpg.h): names, the clearsigned form, and what GnuPG's status lines say.
 *
 * Threads: pure functions. All input is hostile: bounded, and what is not understood is no "yes".
 */
#ifndef BMAP_SIGNATURE_H
#define BMAP_SIGNATURE_H

#include "base/error.h"

#include <stddef.h>

#define SIGNATURE_MAX 16 /* in one file; more are refused */
#define SIGNATURE_FINGERPRINT_ROOM 65 /* 40 digits (version 4 keys) or 64, NUL */
#define SIGNATURE_USER_ROOM 256

/* What a detached signature of a bmap is called: the name and one of these behind it, the first
 * that is there. NULL behind the last. */
extern const char *const signature_endings[];

/* bmap with ending behind it, in front of the query or fragment of a URL. malloc'ed; NULL: no
 * memory. */
char *signature_name(const char *bmap, const char *ending);

/* Does a file that begins with head carry its signature inside (RFC 4880 7)? */
bool clearsigned(const char *head, size_t len);
/* Takes the text out of a clearsigned file, in place and WITHOUT a check of its signature: for who
 * wants none. *len becomes the text's length. What stands before or behind is left out. */
bool clearsigned_text(char *bytes, size_t *len, const char *name, struct bmap_error *err);

/* A full fingerprint in any case, with or without spaces, becomes 40 or 64 upper case digits. */
bool signature_fingerprint(const char *text, char out[SIGNATURE_FINGERPRINT_ROOM],
			   struct bmap_error *err);

enum signature_verdict {
	SIGNATURE_GOOD, /* and its key neither expired nor revoked */
	SIGNATURE_BAD, /* it does not fit these bytes */
	SIGNATURE_EXPIRED,
	SIGNATURE_KEY_EXPIRED,
	SIGNATURE_KEY_REVOKED,
	SIGNATURE_KEY_DISTRUSTED, /* the user said in gpg never to trust that key */
	SIGNATURE_KEY_UNKNOWN,
	SIGNATURE_UNCHECKED, /* any other reason */
};

struct signature {
	enum signature_verdict verdict;
	bool valid; /* a VALIDSIG line came with it: fingerprint and primary are proven */
	bool certified; /* gpg trusts the key to be its owner's; gpgv never says so */
	char key[SIGNATURE_FINGERPRINT_ROOM]; /* ID (16 digits) or fingerprint, as claimed */
	char fingerprint[SIGNATURE_FINGERPRINT_ROOM]; /* of the key or subkey that signed */
	char primary[SIGNATURE_FINGERPRINT_ROOM]; /* of the key it belongs to; "": not said */
	char user[SIGNATURE_USER_ROOM]; /* name and address; no control characters */
};

struct signature_report {
	struct signature found[SIGNATURE_MAX];
	size_t count;
	size_t plaintexts; /* pieces of signed text that were met */
	bool failed; /* GnuPG met an error that no signature's verdict explains */
};

/* Reads all that --status-fd wrote. False: it is not what GnuPG writes; nothing may be taken from
 * it. Only whole lines that begin with "[GNUPG:] " are known: what a user ID, a file name or the
 * signed text contains stands behind a keyword, and a newline in it is escaped. */
bool signature_report_parse(struct signature_report *report, const char *text, size_t len,
			    struct bmap_error *err);

struct signature_question {
	const char *signature; /* for messages: the file that holds it, maybe the bmap itself */
	const char *keyring; /* NULL: the user's own */
	const char *fingerprint; /* as signature_fingerprint() makes it; NULL: any key will do */
	bool clearsigned;
	bool program_succeeded; /* its exit status was 0 */
	const char *program_said; /* a line of GnuPG's own, for messages; may be "" */
};

/* True if these signatures make the bmap trustworthy: one is good (and of the wanted key) and none
 * is bad. A good signature is not spoilt by others whose keys are unknown, expired or revoked:
 * whoever could add them could not make the good one. One that does not fit the bytes shows that
 * something was changed after it was signed, and is refused whatever stands beside it. */
bool signature_judge(const struct signature_report *report,
		     const struct signature_question *question, struct bmap_error *err);

/* Is it by that key: the one that signed, or the one that it belongs to? NULL: any. */
bool signature_is_by(const struct signature *signature, const char *fingerprint);

/* Why a signature is not good, half a sentence. */
const char *signature_verdict_text(enum signature_verdict verdict);

#endif
