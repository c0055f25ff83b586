/* SPDX-License-Identifier: MIT */
/* job/signature_gpg.h - has GnuPG check the signature of a bmap.
 *
 * With a keyring gpgv, which trusts every key in it and reads no configuration; without, gpg and
 * the user's own keyring: a key in it counts whether or not it was certified, unless it was marked
 * as never to be trusted. Neither goes to the network.
 * Threads: blocks; a stop ends it. Nothing is written but what gpg keeps in its own folder. */
#ifndef JOB_SIGNATURE_GPG_H
#define JOB_SIGNATURE_GPG_H

#include "base/error.h"
#include "base/stop.h"

#include <bmap/log.h>
#include <stddef.h>

struct signature_check {
	const char *bmap; /* name, for messages */
	const char *bytes; /* the whole file as it is stored: compressed, or clearsigned */
	size_t len;
	const char *signature; /* name of the detached signature; NULL: bytes are clearsigned */
	const char *signature_bytes; /* binary or armored */
	size_t signature_len;
	const char *keyring; /* path; NULL: the user's own */
	const char *fingerprint; /* as signature_fingerprint() makes it; NULL: any key */
	const struct bmap_log *log;
	const struct bmap_stop *stop;
};

/* True if the bmap may be used. Then *text is what was signed, malloc'ed, if it was clearsigned;
 * of a detached signature it is bytes, and *text NULL. What GnuPG was given are these very bytes,
 * not the file: it cannot change in between. */
bool signature_check(const struct signature_check *check, char **text, size_t *text_len,
		     struct bmap_error *err);

#endif
