/* SPDX-License-Identifier: MIT */
/* decode/archive_member.h - which of an archive's files is the image: the one that is named, by its
 * full name or by its base name, or the first regular one. Counts the others, for the note and for
 * the message when there is none.
 *
 * Names come from the archive: what is shown of them is printable ASCII, and short. */
#ifndef DECODE_ARCHIVE_MEMBER_H
#define DECODE_ARCHIVE_MEMBER_H

#include "decode/decoder_internal.h"

#define ARCHIVE_NAME_SHOWN_BYTES 80u

struct archive_choice {
	bool taken;
	char taken_name[ARCHIVE_NAME_SHOWN_BYTES]; /* as shown */
	uint64_t files; /* regular ones so far, the taken one among them */
	char list[4 * ARCHIVE_NAME_SHOWN_BYTES]; /* of the first names, for a message */
	unsigned listed;
};

/* The next regular file's name. True: take it; at most once. */
bool archive_choose(struct archive_choice *choice, const char *wanted, const char *name,
		    size_t len);
/* At the archive's end: the note, if there was something to choose and nobody chose. */
void archive_say(const struct archive_choice *choice, struct decoder *d);
/* At the archive's end, if none was taken; returns DECODE_FAILED. */
enum decode_status archive_missing(const struct archive_choice *choice, const struct decoder *d,
				   struct bmap_error *err);
/* name as it is shown: at most room - 1 printable characters. */
void archive_show_name(char *shown, size_t room, const char *name, size_t len);

#endif
