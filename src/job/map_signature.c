/* SPDX-License-Identifier: MIT */
#include "job/map_signature.h"

#include "base/checked.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "bmap/signature.h"
#include "job/signature_gpg.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool find_detached(struct map_signature *signature, const char *bmap,
			  const struct map_request *request, struct bmap_error *err);
static bool read_detached(struct map_signature *signature, const char *path,
			  const struct map_request *request, struct bmap_error *err);

bool map_request_check(const struct map_request *request, bool no_bmap, struct bmap_error *err)
{
	const char *option = request->signature     ? "--bmap-sig"
			     : request->keyring     ? "--keyring"
			     : request->fingerprint ? "--fingerprint"
						    : NULL;
	char ignored[SIGNATURE_FINGERPRINT_ROOM];

	if (option && (no_bmap || request->no_signature))
		return bmap_error_set(err, BMAP_ERR_USAGE, "%s and %s cannot be used together",
				      no_bmap ? "--nobmap" : "--no-sig-verify", option);
	return !request->fingerprint || signature_fingerprint(request->fingerprint, ignored, err);
}

bool map_signature_find(struct map_signature *signature, const struct map_input *in,
			const char *path, const struct map_request *request, struct bmap_error *err)
{
	*signature = (struct map_signature){ .kind = MAP_SIGNATURE_NONE };
	if (clearsigned((const char *)in->bytes, in->len)) {
		if (request->signature)
			return bmap_error_set(err, BMAP_ERR_USAGE,
					      "%s: is clearsigned: it holds its own signature, so "
					      "that --bmap-sig cannot be used",
					      in->path);
		signature->kind = MAP_SIGNATURE_INSIDE;
		if (!request->no_signature)
			log_info(request->log, "discovered inline signature in '%s'", in->path);
		return true;
	}
	if (request->no_signature)
		return true;
	if (request->signature)
		return read_detached(signature, request->signature, request, err);
	if (!find_detached(signature, path, request, err))
		return false;
	if (signature->kind != MAP_SIGNATURE_NONE || (!request->fingerprint && !request->keyring))
		return true;
	return bmap_error_set(err, BMAP_ERR_NOT_FOUND,
			      "%s: no signature found but %s given: name it with --bmap-sig",
			      in->path, request->fingerprint ? "--fingerprint" : "--keyring");
}

/* A signature that is there but cannot be read is an error: it may be the one that says no. */
static bool find_detached(struct map_signature *signature, const char *bmap,
			  const struct map_request *request, struct bmap_error *err)
{
	for (size_t i = 0; signature_endings[i] && strcmp(bmap, "-") != 0; i++) {
		CLEANUP_FREE char *candidate = signature_name(bmap, signature_endings[i]);

		if (!candidate)
			return bmap_error_memory(err, bmap);
		if (read_detached(signature, candidate, request, err)) {
			log_info(request->log, "discovered signature file for bmap '%s'",
				 signature->name);
			return true;
		}
		/* A name that is too long for the file system is nobody's. */
		if (err->code != BMAP_ERR_NOT_FOUND && err->errnum != ENAMETOOLONG)
			return false;
	}
	*err = (struct bmap_error){ .code = BMAP_ERR_NONE };
	return true;
}

static bool read_detached(struct map_signature *signature, const char *path,
			  const struct map_request *request, struct bmap_error *err)
{
	struct source *source = source_open_logged(path, request->stop, request->log, err);
	struct map_input in;
	bool good;

	if (!source) {
		if (err->errnum == EISDIR) /* not "as an image" */
			bmap_error_errnum(err, EISDIR, "%s: cannot be read", path);
		return false;
	}
	good = map_input_of_source(&in, source, err) && map_input_fill(&in, err);
	if (good && !in.ended)
		good = bmap_error_set(err, BMAP_ERR_USAGE,
				      "%s: has more than %u KiB: this is no detached signature",
				      in.path, MAP_INPUT_BYTES / KIB);
	if (good) {
		signature->name = strdup(in.path);
		good = signature->name || bmap_error_memory(err, in.path);
	}
	if (good) {
		signature->kind = MAP_SIGNATURE_DETACHED;
		signature->len = in.len;
		signature->bytes = (char *)take_ptr(in.bytes);
	}
	map_input_close(&in);
	source_close(source);
	return good;
}

/* Puts the text that was signed in the place of the file. */
static void replace(struct map_text *whole, const char *text, size_t len)
{
	memcpy(whole->bytes, text, len); /* a signed text is no longer than its file: room */
	whole->len = len;
}

bool map_signature_check(const struct map_signature *signature, const char *path,
			 struct map_text *whole, const struct map_request *request,
			 struct bmap_error *err)
{
	bool inside = signature->kind == MAP_SIGNATURE_INSIDE;
	char fingerprint[SIGNATURE_FINGERPRINT_ROOM];
	struct signature_check check = {
		.bmap = path,
		.bytes = whole->bytes,
		.len = whole->len,
		.signature = inside ? NULL : signature->name,
		.signature_bytes = signature->bytes,
		.signature_len = signature->len,
		.keyring = request->keyring,
		.fingerprint = request->fingerprint ? fingerprint : NULL,
		.log = request->log,
		.stop = request->stop,
	};
	CLEANUP_FREE char *text = NULL;
	size_t len;

	if (request->no_signature)
		return clearsigned_text(whole->bytes, &whole->len, path, err);
	if (request->fingerprint && !signature_fingerprint(request->fingerprint, fingerprint, err))
		return false;
	if (!signature_check(&check, &text, &len, err))
		return false;
	if (!inside)
		return true;
	if (len > whole->room)
		return map_text_too_long(whole, path, err);
	replace(whole, text, len);
	return true;
}

void map_signature_free(struct map_signature *signature)
{
	free(signature->name);
	free(signature->bytes);
	*signature = (struct map_signature){ .kind = MAP_SIGNATURE_NONE };
}
