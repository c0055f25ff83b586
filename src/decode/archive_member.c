/* SPDX-License-Identifier: MIT */
#include "decode/archive_member.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAMES_LISTED 4u

static void list_name(struct archive_choice *choice, const char *name, size_t len);

static size_t without_dot_slash(const char **name, size_t len)
{
	while (len > 2 && (*name)[0] == '.' && (*name)[1] == '/') {
		*name += 2;
		len -= 2;
	}
	return len;
}

static bool same(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && !memcmp(a, b, a_len);
}

static bool matches(const char *wanted, const char *name, size_t len)
{
	size_t wanted_len = without_dot_slash(&wanted, strlen(wanted));
	const char *slash;

	len = without_dot_slash(&name, len);
	slash = len ? memrchr(name, '/', len) : NULL;
	return same(wanted, wanted_len, name, len) ||
	       (slash && same(wanted, wanted_len, slash + 1, len - (size_t)(slash + 1 - name)));
}

bool archive_choose(struct archive_choice *choice, const char *wanted, const char *name, size_t len)
{
	choice->files++;
	list_name(choice, name, len);
	if (choice->taken || (wanted && !matches(wanted, name, len)))
		return false;
	choice->taken = true;
	archive_show_name(choice->taken_name, sizeof(choice->taken_name), name, len);
	return true;
}

void archive_say(const struct archive_choice *choice, struct decoder *d)
{
	if (!d->limits.member && choice->files > 1)
		snprintf(d->note, sizeof(d->note),
			 "taking '%s', the first of %" PRIu64 " files: --member NAME chooses "
			 "another",
			 choice->taken_name, choice->files);
}

enum decode_status archive_missing(const struct archive_choice *choice, const struct decoder *d,
				   struct bmap_error *err)
{
	char wanted[ARCHIVE_NAME_SHOWN_BYTES];

	if (!choice->files) {
		bmap_error_data(err, d->source_offset,
				"%s: there is no regular file in the %s archive (it ends at offset "
				"%" PRIu64 "): is it the right one?",
				d->limits.name, d->ops->name, d->source_offset);
		return DECODE_FAILED;
	}
	archive_show_name(wanted, sizeof(wanted), d->limits.member, strlen(d->limits.member));
	bmap_error_data(err, d->source_offset,
			"%s: there is no file '%s' in the %s archive, which holds %s%s (%" PRIu64
			" in all): name one of them with --member",
			d->limits.name, wanted, d->ops->name, choice->list,
			choice->files > choice->listed ? ", ..." : "", choice->files);
	return DECODE_FAILED;
}

void archive_show_name(char *shown, size_t room, const char *name, size_t len)
{
	size_t n = 0;

	for (; n < len && n + 1 < room; n++)
		shown[n] = name[n] >= ' ' && name[n] <= '~' ? name[n] : '?';
	shown[n] = '\0';
	if (n < len && n > 3) /* cut off */
		memcpy(shown + n - 3, "...", 3);
}

static void list_name(struct archive_choice *choice, const char *name, size_t len)
{
	char shown[ARCHIVE_NAME_SHOWN_BYTES - 4]; /* with quotes and a comma */
	size_t used = strlen(choice->list);

	if (choice->listed == NAMES_LISTED)
		return;
	archive_show_name(shown, sizeof(shown), name, len);
	snprintf(choice->list + used, sizeof(choice->list) - used, "%s'%s'",
		 choice->listed++ ? ", " : "", shown);
}
