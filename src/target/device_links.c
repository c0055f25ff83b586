/* SPDX-License-Identifier: MIT */
#include "target/device_internal.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_LINKS 65536u /* in a folder: far more than any tray has */

/* Names made of numbers, or that another layer gives: only where there is nothing better. */
static const struct {
	const char *prefix;
	int rank;
} poor[] = {
	{ "scsi-", 1 },      { "wwn-", 2 },     { "nvme-eui.", 2 }, { "nvme-uuid.", 2 },
	{ "nvme-nvme.", 2 }, { "dm-uuid-", 2 }, { "md-uuid-", 2 },  { "lvm-pv-uuid-", 2 },
};

/* udev's links are "../../sdb": the device is named by the link's text alone, so that nothing has
 * to be asked that could be gone or hang. */
static bool points_to(const char *path, const char *kernel_name)
{
	char link[PATH_MAX];
	const char *text = link;
	ssize_t n = readlink(path, link, sizeof(link) - 1);

	if (n <= 0)
		return false;
	link[n] = '\0';
	while (!strncmp(text, "../", 3))
		text += 3;
	return !strcmp(text, kernel_name);
}

void device_links_each(const struct device_view *view, const char *folder, device_link_visit *visit,
		       void *user)
{
	char place[PATH_MAX], path[PATH_MAX + NAME_MAX + 2], kernel_name[NAME_MAX + 1];
	const struct dirent *entry;
	unsigned count = 0;
	bool more = true;
	DIR *dir;

	if (snprintf(place, sizeof(place), "%s/disk/%s", view->places->dev, folder) >=
	    (int)sizeof(place))
		return;
	dir = opendir(place);
	if (!dir) /* no udev here */
		return;
	device_view_name(view->folder, kernel_name);
	while (more && count++ < MAX_LINKS && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), "%s/%s", place, entry->d_name);
		if (entry->d_name[0] != '.' && points_to(path, kernel_name))
			more = visit(user, entry->d_name);
	}
	closedir(dir);
}

static int rank_of(const char *name)
{
	for (size_t i = 0; i < sizeof(poor) / sizeof(poor[0]); i++)
		if (!strncmp(name, poor[i].prefix, strlen(poor[i].prefix)))
			return poor[i].rank;
	return 0;
}

static bool keep_better(void *user, const char *name)
{
	char *best = user;
	int better = best[0] ? rank_of(best) - rank_of(name) : 1;

	/* Of equals the first in the alphabet, so that it is the same at every call. */
	if (better > 0 || (better == 0 && strcmp(name, best) < 0))
		snprintf(best, NAME_MAX + 1, "%s", name);
	return true;
}

void device_links_best(const struct device_view *view, const char *folder, char best[NAME_MAX + 1])
{
	best[0] = '\0';
	device_links_each(view, folder, keep_better, best);
}
