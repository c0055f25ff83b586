/* SPDX-License-Identifier: MIT */
#include "device_tree.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int device_tree_make(void **state)
{
	struct device_tree *tree = calloc(1, sizeof(*tree));

	assert_non_null(tree);
	strcpy(tree->top, "/tmp/bmap-device-tree-XXXXXX");
	assert_non_null(mkdtemp(tree->top));
	snprintf(tree->sys, sizeof(tree->sys), "%s/sys", tree->top);
	snprintf(tree->dev, sizeof(tree->dev), "%s/dev", tree->top);
	tree->places = (struct device_places){ tree->sys, tree->dev, "/dev/null" };
	device_tree_file(tree, "sys/devices/there", "");
	device_tree_file(tree, "sys/block/.there", "");
	*state = tree;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

int device_tree_remove(void **state)
{
	struct device_tree *tree = *state;

	nftw(tree->top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(tree);
	return 0;
}

static void full_path(const struct device_tree *tree, const char *path, char full[PATH_MAX])
{
	int n = snprintf(full, PATH_MAX, "%s/%s", tree->top, path);

	assert_true(n > 0 && n < PATH_MAX);
	for (char *slash = full + strlen(tree->top) + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		mkdir(full, 0755);
		*slash = '/';
	}
}

void device_tree_bytes(struct device_tree *tree, const char *path, const void *bytes, size_t len)
{
	char full[PATH_MAX];
	int fd;

	full_path(tree, path, full);
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

void device_tree_file(struct device_tree *tree, const char *path, const char *text)
{
	device_tree_bytes(tree, path, text, strlen(text));
}

void device_tree_link(struct device_tree *tree, const char *path, const char *text)
{
	char full[PATH_MAX];

	full_path(tree, path, full);
	assert_int_equal(symlink(text, full), 0);
}

void device_tree_subsystem(struct device_tree *tree, const char *path, const char *subsystem)
{
	char place[PATH_MAX], text[128];

	snprintf(place, sizeof(place), "sys/devices/%s/subsystem", path);
	snprintf(text, sizeof(text), "/sys/bus/%s", subsystem);
	device_tree_link(tree, place, text);
}

void device_tree_disk(struct device_tree *tree, const char *attached, const char *name,
		      unsigned major_number, unsigned minor_number)
{
	char path[PATH_MAX], text[PATH_MAX];

	snprintf(path, sizeof(path), "sys/devices/%s/block/%s/size", attached, name);
	device_tree_file(tree, path, "8\n");
	snprintf(path, sizeof(path), "sys/devices/%s/block/%s/dev", attached, name);
	snprintf(text, sizeof(text), "%u:%u\n", major_number, minor_number);
	device_tree_file(tree, path, text);
	snprintf(path, sizeof(path), "sys/devices/%s/block/%s/device", attached, name);
	device_tree_link(tree, path, "../..");
	snprintf(text, sizeof(text), "../devices/%s/block/%s", attached, name);
	snprintf(path, sizeof(path), "sys/block/%s", name);
	device_tree_link(tree, path, text);
	snprintf(text, sizeof(text), "../../devices/%s/block/%s", attached, name);
	snprintf(path, sizeof(path), "sys/dev/block/%u:%u", major_number, minor_number);
	device_tree_link(tree, path, text);
}
