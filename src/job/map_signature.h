/* SPDX-License-Identifier: MIT */
/* job/map_signature.h - finds the signature of a bmap, and has it checked.
 *
 * Threads: as map_read(). */
#ifndef JOB_MAP_SIGNATURE_H
#define JOB_MAP_SIGNATURE_H

#include "job/job_internal.h"
#include "job/map_input.h"

struct map_signature {
	enum {
		MAP_SIGNATURE_NONE,
		MAP_SIGNATURE_DETACHED,
		MAP_SIGNATURE_INSIDE,
	} kind;
	char *name; /* of a detached one, for messages; owned, as are bytes */
	char *bytes;
	size_t len;
};

/* in has its first bytes read; path: what it was opened by. False also if a signature is wanted and
 * there is none. On failure nothing is left to free. */
bool map_signature_find(struct map_signature *signature, const struct map_input *in,
			const char *path, const struct map_request *request,
			struct bmap_error *err);
/* whole: the file as it is stored. Of a clearsigned one only the signed text is left in it, also
 * if no check is wanted. */
bool map_signature_check(const struct map_signature *signature, const char *path,
			 struct map_text *whole, const struct map_request *request,
			 struct bmap_error *err);
void map_signature_free(struct map_signature *signature);

#endif
