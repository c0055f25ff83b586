/* SPDX-License-Identifier: MIT */
#include "job/signature_gpg.h"

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "bmap/signature.h"
#include "job/run_program.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* SIGNATURE_MAX signatures with user IDs of 2 KiB, escaped, twice. */
#define STATUS_BYTES (256u * KIB)
#define ERRORS_BYTES 2048u
/* What a signed text may be longer than the file that it is in: a newline at its end. */
#define TEXT_SLACK_BYTES 16u
#define SAID_BYTES 256u
#define ARMORED_KEYS "-----BEGIN PGP PUBLIC KEY BLOCK-----"

/* Detached: the signature is descriptor 4, the bmap standard input. Clearsigned: all of it is
 * standard input, and what --output writes, here to standard output, is the text that the signature
 * covers and nothing around it. gpgv has --output since 2.1.16, as old as gpg's way of writing the
 * text while it verifies: an older one fails, and so does the check. */
#define COMMON "--enable-special-filenames", "--status-fd", "3", "--output", "-"
#define GPG                                                                                        \
	"gpg", "--batch", "--no-tty", "--no-auto-key-retrieve", "--no-auto-check-trustdb",         \
		"--disable-dirmngr", COMMON, "--verify", "--"

static bool keyring_check(const char *keyring, char **absolute, struct bmap_error *err);
static bool bytes_to_fd(int *fd, const char *bytes, size_t len, struct bmap_error *err);
static bool run_gpg(const struct signature_check *check, const char *keyring,
		    struct program_run *run, struct bmap_error *err);
static bool explain_failure(const struct signature_check *check, struct bmap_error *err);
static bool judge(const struct signature_check *check, const struct program_run *run,
		  struct bmap_error *err);
static void tell(const struct signature_check *check, const struct signature_report *report);

bool signature_check(const struct signature_check *check, char **text, size_t *text_len,
		     struct bmap_error *err)
{
	size_t output_room = check->signature ? 0 : check->len + TEXT_SLACK_BYTES;
	CLEANUP_FREE char *keyring = NULL;
	CLEANUP_FREE char *status = malloc(STATUS_BYTES);
	CLEANUP_FREE char *output = output_room ? malloc(output_room) : NULL;
	char errors[ERRORS_BYTES];
	struct program_run run = {
		.output = { output, output_room, 0, false },
		.errors = { errors, sizeof(errors), 0, true },
		.status = { status, STATUS_BYTES, 0, false },
		.stop = check->stop,
	};

	*text = NULL;
	*text_len = 0;
	if (!status || (output_room && !output))
		return bmap_error_memory(err, check->bmap);
	if (check->keyring && !keyring_check(check->keyring, &keyring, err))
		return false;
	if (!run_gpg(check, keyring, &run, err) || !judge(check, &run, err))
		return false;
	*text = take_ptr(output);
	*text_len = run.output.len;
	return true;
}

/* gpgv takes a name without a slash for one in its own folder, and says of a keyring that is not
 * there or armored only that it knows no key. */
static bool keyring_check(const char *keyring, char **absolute, struct bmap_error *err)
{
	CLEANUP_CLOSE int fd = open(keyring, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char head[sizeof(ARMORED_KEYS) - 1];
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return bmap_error_errno(err, "%s: cannot open the keyring", keyring);
	if (!S_ISREG(st.st_mode))
		return bmap_error_set(err, BMAP_ERR_USAGE, "%s: the keyring is no regular file",
				      keyring);
	if (pread(fd, head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
	    !memcmp(head, ARMORED_KEYS, sizeof(head)))
		return bmap_error_set(err, BMAP_ERR_UNSUPPORTED,
				      "%s: is an armored key, but a keyring is needed: gpg "
				      "--dearmor makes one of it",
				      keyring);
	*absolute = realpath(keyring, NULL);
	return *absolute || bmap_error_errno(err, "%s: cannot open the keyring", keyring);
}

/* In memory, so that no file has to be trusted or removed. */
static bool bytes_to_fd(int *fd, const char *bytes, size_t len, struct bmap_error *err)
{
	*fd = memfd_create("bmap", MFD_CLOEXEC);
	if (*fd < 0)
		return bmap_error_errno(err, "cannot create a file in memory");
	for (size_t at = 0; at < len;) {
		ssize_t n = pwrite(*fd, bytes + at, len - at, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return bmap_error_errno(err, "cannot write to a file in memory");
		at += (size_t)n;
	}
	return true;
}

static bool run_gpg(const struct signature_check *check, const char *keyring,
		    struct program_run *run, struct bmap_error *err)
{
	const char *const gpg_detached[] = { GPG, "-&4", "-", NULL };
	const char *const gpg_inside[] = { GPG, "-", NULL };
	const char *const gpgv_detached[] = { "gpgv", "--keyring", keyring, COMMON,
					      "--",   "-&4",       "-",     NULL };
	const char *const gpgv_inside[] = { "gpgv", "--keyring", keyring, COMMON, "--", "-", NULL };
	CLEANUP_CLOSE int input = -1;
	CLEANUP_CLOSE int extra = -1;

	if (!bytes_to_fd(&input, check->bytes, check->len, err))
		return false;
	if (check->signature &&
	    !bytes_to_fd(&extra, check->signature_bytes, check->signature_len, err))
		return false;
	if (check->signature)
		run->argv = keyring ? gpgv_detached : gpg_detached;
	else
		run->argv = keyring ? gpgv_inside : gpg_inside;
	run->input_fd = input;
	run->extra_fd = extra;
	if (!run_program(run, err))
		return explain_failure(check, err);
	run->argv = NULL; /* they end here */
	return true;
}

static bool explain_failure(const struct signature_check *check, struct bmap_error *err)
{
	char why[sizeof(err->text)];

	if (err->code == BMAP_ERR_INTERRUPTED)
		return bmap_error_set(err, BMAP_ERR_INTERRUPTED,
				      "%s: interrupted before its signature was checked",
				      check->bmap);
	if (err->code == BMAP_ERR_NOT_FOUND)
		return bmap_error_set(err, BMAP_ERR_UNSUPPORTED,
				      "%s: cannot verify the signature because %s is not "
				      "installed: install it (GnuPG), or use --no-sig-verify",
				      check->bmap, check->keyring ? "gpgv" : "gpg");
	memcpy(why, err->text, sizeof(why));
	return bmap_error_set(err, err->code, "%s: cannot verify the signature: %.1000s",
			      check->bmap, why);
}

/* The line of its own words that says most: the first one, without the program's name. */
static void first_line(char said[SAID_BYTES], const struct program_stream *errors)
{
	const char *end = memchr(errors->bytes, '\n', errors->len);
	size_t len = end ? (size_t)(end - errors->bytes) : errors->len;

	if (!len)
		snprintf(said, SAID_BYTES, "it says nothing more");
	else
		snprintf(said, SAID_BYTES, "%.*s", (int)min_u64(len, SAID_BYTES - 1),
			 errors->bytes);
	for (char *p = said; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static bool judge(const struct signature_check *check, const struct program_run *run,
		  struct bmap_error *err)
{
	CLEANUP_FREE struct signature_report *report = malloc(sizeof(*report));
	char said[SAID_BYTES];
	const struct signature_question question = {
		.signature = check->signature ? check->signature : check->bmap,
		.keyring = check->keyring,
		.fingerprint = check->fingerprint,
		.clearsigned = !check->signature,
		.program_succeeded = run->exit_status == 0,
		.program_said = said,
	};

	if (!report)
		return bmap_error_memory(err, check->bmap);
	first_line(said, &run->errors);
	if (!signature_report_parse(report, run->status.bytes, run->status.len, err))
		return explain_failure(check, err);
	if (!signature_judge(report, &question, err))
		return false;
	tell(check, report);
	return true;
}

static void tell(const struct signature_check *check, const struct signature_report *report)
{
	for (size_t i = 0; i < report->count; i++) {
		const struct signature *s = &report->found[i];

		if (s->verdict != SIGNATURE_GOOD) {
			log_info(check->log, "%s: another signature does not count: %s (key %s)",
				 check->signature ? check->signature : check->bmap,
				 signature_verdict_text(s->verdict),
				 s->valid ? s->fingerprint : s->key);
			continue;
		}
		log_info(check->log,
			 "successfully verified bmap file signature of %s (fingerprint %s)",
			 s->user, s->fingerprint);
		if (!check->keyring && !check->fingerprint && !s->certified)
			log_info(check->log,
				 "gpg does not know whether this key belongs to its owner: "
				 "--fingerprint tells which one must have signed");
	}
}
