/* SPDX-License-Identifier: MIT */
/* job/job_internal.h - what the public operations share among themselves. */
#ifndef JOB_JOB_INTERNAL_H
#define JOB_JOB_INTERNAL_H

#include "base/error.h"
#include "bmap/xml_reader.h"
#include "source/source.h"

#include <bmap/report.h>
#include <bmap/verify.h>

/* bmap_verify() for what can only be read in order (compressed images, pipes): the flash pipeline
 * with no targets. Loads the map itself, as bmap_verify() does. */
bool verify_stream(const struct bmap_verify_options *options, struct bmap_verify_result *result,
		   struct bmap_error *err);

/* What a report wants to know beside the map. */
struct map_report {
	struct map_findings findings;
	enum bmap_check signature;
	char *signature_name; /* malloc'ed; NULL: none, or inside the bmap */
};

/* The map of an image. */
struct map_request {
	const char *image; /* path or URL */
	const char *bmap; /* path or URL; NULL: discovered, which is logged */
	/* What is asked of the bmap's signature: the four as in struct bmap_flash_options. */
	const char *signature;
	bool no_signature;
	const char *keyring, *fingerprint;
	const struct bmap_stop *stop;
	const struct bmap_log *log;
	struct map_report *report; /* to be filled, also where the answer is false; may be NULL */
	char *digest; /* NULL, or where its file's SHA-256 goes: FILE_DIGEST_ROOM bytes */
};
/* *path is malloc'ed: where it was found, a URL without user and password. False with code
 * NOT_FOUND and path NULL if there is none; with a path, what was found cannot be used. */
bool map_find(const struct map_request *request, struct bmap_map **map, char **path,
	      struct bmap_error *err);

/* Whether what a request says of signatures makes sense, with a bmap or without. Reads no file. */
bool map_request_check(const struct map_request *request, bool no_bmap, struct bmap_error *err);
/* bmap_map_load() of a source that was opened as path (which, of a URL, may hold a password): reads
 * it to its end. Where it has a signature that is to be checked, nothing of it is unpacked or
 * parsed before that was found good. Of the request image and bmap do not matter. */
bool map_read(struct bmap_map **out, struct source *source, const char *path,
	      const struct map_request *request, struct bmap_error *err);

/* The memory limit of a job: options' own, or the default. */
uint64_t job_memory_bytes(uint64_t asked_bytes);

#endif
