/* SPDX-License-Identifier: MIT */
#include "target/sysfs.h"
#include "base/cleanup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define PATH_BYTES 640u
#define MAX_ENTRIES 4096u /* in a folder: a disk has at most 255 partitions and 100 attributes */

static bool device_path(dev_t device, const char *below, char path[PATH_BYTES]);
static bool read_text_file(const char *path, char *text, size_t size);
static bool parse_number(const char **text, uint64_t *number);

bool sysfs_read_text(dev_t device, const char *attribute, char *text, size_t size)
{
	char path[PATH_BYTES];

	return device_path(device, attribute, path) && read_text_file(path, text, size);
}

bool sysfs_read_number(dev_t device, const char *attribute, uint64_t *number)
{
	const char *p;
	char text[32];

	if (!sysfs_read_text(device, attribute, text, sizeof(text)))
		return false;
	p = text;
	return parse_number(&p, number) && !*p;
}

bool sysfs_name(dev_t device, char name[SYSFS_NAME_BYTES])
{
	char path[PATH_BYTES], link[1024];
	const char *base;
	ssize_t n;

	if (!device_path(device, "", path))
		return false;
	path[strlen(path) - 1] = '\0'; /* the link itself, not the folder behind it */
	n = readlink(path, link, sizeof(link) - 1);
	if (n <= 0 || n >= (ssize_t)sizeof(link) - 1)
		return false;
	link[n] = '\0';
	base = strrchr(link, '/');
	base = base ? base + 1 : link;
	if (!*base || strlen(base) >= SYSFS_NAME_BYTES)
		return false;
	strcpy(name, base);
	for (char *p = name; *p; p++)
		if (*p == '!')
			*p = '/';
	return true;
}

void sysfs_name_or_number(dev_t device, char name[SYSFS_NAME_BYTES])
{
	if (!sysfs_name(device, name))
		snprintf(name, SYSFS_NAME_BYTES, "device %u:%u", major(device), minor(device));
}

bool sysfs_node(dev_t device, char *path, size_t size)
{
	char name[SYSFS_NAME_BYTES];
	struct stat st;
	int n;

	if (!sysfs_name(device, name))
		return false;
	n = snprintf(path, size, "/dev/%s", name);
	return n > 0 && (size_t)n < size && !stat(path, &st) && S_ISBLK(st.st_mode) &&
	       st.st_rdev == device;
}

bool sysfs_is_partition(dev_t device)
{
	return sysfs_has(device, "partition");
}

dev_t sysfs_whole_disk(dev_t device)
{
	char text[32];
	dev_t disk;

	/* A partition's folder lies in its disk's. */
	if (sysfs_is_partition(device) && sysfs_read_text(device, "../dev", text, sizeof(text)) &&
	    sysfs_parse_device(text, &disk))
		return disk;
	return device;
}

bool sysfs_has(dev_t device, const char *folder)
{
	char path[PATH_BYTES];
	struct stat st;

	return device_path(device, folder, path) && !stat(path, &st);
}

bool sysfs_parse_device(const char *text, dev_t *device)
{
	uint64_t major_number, minor_number;

	if (!parse_number(&text, &major_number) || *text++ != ':' ||
	    !parse_number(&text, &minor_number))
		return false;
	if (*text == '\n')
		text++;
	if (*text || major_number > UINT32_MAX || minor_number > UINT32_MAX)
		return false;
	*device = makedev((unsigned)major_number, (unsigned)minor_number);
	return true;
}

bool sysfs_each(dev_t device, const char *folder, sysfs_visit *visit, void *user)
{
	bool partitions = !*folder, ok = true;
	char path[PATH_BYTES];
	struct dirent *entry;
	unsigned count = 0;
	DIR *dir;

	if (!device_path(device, folder, path))
		return true;
	dir = opendir(path);
	if (!dir)
		return true;
	while (ok && (entry = readdir(dir))) {
		char file[PATH_BYTES + SYSFS_NAME_BYTES + 16], text[32];
		dev_t found;

		if (entry->d_name[0] == '.')
			continue;
		if (++count > MAX_ENTRIES) {
			ok = false;
			break;
		}
		snprintf(file, sizeof(file), "%s/%.255s/partition", path, entry->d_name);
		if (partitions && !read_text_file(file, text, sizeof(text)))
			continue;
		snprintf(file, sizeof(file), "%s/%.255s/dev", path, entry->d_name);
		if (read_text_file(file, text, sizeof(text)) && sysfs_parse_device(text, &found))
			ok = visit(user, found);
	}
	closedir(dir);
	return ok;
}

static bool device_path(dev_t device, const char *below, char path[PATH_BYTES])
{
	int n = snprintf(path, PATH_BYTES, "/sys/dev/block/%u:%u/%s", major(device), minor(device),
			 below);

	return n > 0 && (size_t)n < PATH_BYTES;
}

static bool read_text_file(const char *path, char *text, size_t size)
{
	CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	do
		n = read(fd, text, size);
	while (n < 0 && errno == EINTR);
	if (n <= 0 || (size_t)n >= size || memchr(text, '\0', (size_t)n)) /* cut off, or binary */
		return false;
	text[n] = '\0';
	if (text[n - 1] == '\n')
		text[n - 1] = '\0';
	return !strchr(text, '\n');
}

static bool parse_number(const char **text, uint64_t *number)
{
	uint64_t value = 0;

	if (!isdigit((unsigned char)**text))
		return false;
	for (; isdigit((unsigned char)**text); (*text)++)
		if (__builtin_mul_overflow(value, 10u, &value) ||
		    __builtin_add_overflow(value, (unsigned)(**text - '0'), &value))
			return false;
	*number = value;
	return true;
}
