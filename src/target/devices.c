/* SPDX-License-Identifier: MIT */
#include "target/devices.h"
#include "base/cleanup.h"
#include "target/device_content.h"
#include "target/device_internal.h"
#include "target/device_text.h"
#include "target/safety.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static bool complete(struct bmap_device *device, dev_t number, struct bmap_error *err);
static bool complete_all(struct bmap_device_list *list, struct bmap_error *err);
static char *refusal_text(const struct bmap_device *device, dev_t number, bool *no_memory);

bool bmap_device_read(const char *path, struct bmap_device *device, struct bmap_error *err)
{
	struct stat st;

	*device = (struct bmap_device){ 0 };
	if (stat(path, &st))
		return bmap_error_errno(err, "%s: cannot look at the device", path);
	if (!S_ISBLK(st.st_mode))
		return bmap_error_set(err, BMAP_ERR_NOT_FOUND, "%s: is no block device", path);
	if (device_facts_read(&device_places_system, st.st_rdev, device, err) &&
	    complete(device, st.st_rdev, err))
		return true;
	bmap_device_free(device);
	return false;
}

bool bmap_device_read_image(const char *path, struct bmap_device *image, struct bmap_error *err)
{
	CLEANUP_CLOSE int fd = -1;
	struct stat st;

	*image = (struct bmap_device){ 0 };
	/* Before it is opened: a pipe would wait for a writer. */
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return bmap_error_set(err, BMAP_ERR_NOT_FOUND, "%s: is no regular file", path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st))
		return bmap_error_errno(err, "%s: cannot look at the image", path);
	image->path = strdup(path);
	image->size_bytes = (uint64_t)st.st_size;
	if (image->path ? image_content_read(fd, image, err) : bmap_error_memory(err, path))
		return true;
	bmap_device_free(image);
	return false;
}

bool bmap_device_list_read(struct bmap_device_list *list, struct bmap_error *err)
{
	return device_facts_list(&device_places_system, BMAP_DEVICE_BY_ID, NULL, list, err) &&
	       complete_all(list, err);
}

bool bmap_device_list_match(enum bmap_device_name kind, const char *pattern,
			    struct bmap_device_list *list, struct bmap_error *err)
{
	return device_facts_list(&device_places_system, kind, pattern, list, err) &&
	       complete_all(list, err);
}

static bool complete_all(struct bmap_device_list *list, struct bmap_error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		struct bmap_device *device = &list->devices[i];
		struct stat st = { 0 };

		/* Without a node the number is unknown here; it cannot be opened anyway. */
		if (stat(device->path, &st) || !S_ISBLK(st.st_mode))
			continue;
		if (!complete(device, st.st_rdev, err)) {
			bmap_device_list_free(list);
			return false;
		}
	}
	return true;
}

/* Where nobody polls for media (udev sets that up), the kernel looks at an open only. */
static void look_for_medium(struct bmap_device *device)
{
	CLEANUP_CLOSE int fd = -1;
	uint64_t size_bytes;

	if (!device->removable)
		return;
	fd = open(device->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd >= 0 && !ioctl(fd, BLKGETSIZE64, &size_bytes))
		device->size_bytes = size_bytes;
}

static bool complete(struct bmap_device *device, dev_t number, struct bmap_error *err)
{
	struct device_view view;

	look_for_medium(device);
	if (!device_view_open(&view, &device_places_system, number)) /* gone */
		return bmap_error_set(err, BMAP_ERR_IO, "%s: the device is gone", device->path);
	if (!device_parts_read(&view, device, err))
		return false;
	if (!device_content_read(&view, device, err))
		return false;
	device_mounts_read(&view, device);
	device->refusal = refusal_text(device, number, &view.no_memory);
	return !view.no_memory || bmap_error_memory(err, "a device");
}

/* Without what all of them begin with: "/dev/sdb: refused: ". */
static char *refusal_text(const struct bmap_device *device, dev_t number, bool *no_memory)
{
	static const char word[] = "refused: ";
	struct bmap_error err;
	const char *text = err.text;
	size_t len = strlen(device->path);
	char *copy;

	if (refuse_unless_writable(number, device->path, device->size_bytes, device->read_only,
				   &err))
		return NULL;
	if (!strncmp(text, device->path, len) && !strncmp(text + len, ": ", 2))
		text += len + 2;
	if (!strncmp(text, word, strlen(word)))
		text += strlen(word);
	copy = strdup(text);
	*no_memory |= !copy;
	if (copy) /* names of mounts and mappings are in it */
		device_text_clean(copy, strlen(copy));
	return copy;
}

static void free_part(struct bmap_device_part *part)
{
	free(part->path);
	free(part->type);
	free(part->label);
	free(part->mounted_at);
}

void bmap_device_free(struct bmap_device *device)
{
	char *const texts[] = { device->path,    device->vendor,     device->model,
				device->serial,  device->transport,  device->by_id,
				device->by_path, device->usb_path,   device->content,
				device->label,   device->mounted_at, device->refusal };

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		free(texts[i]);
	for (size_t i = 0; i < device->part_count; i++)
		free_part(&device->parts[i]);
	free(device->parts);
	*device = (struct bmap_device){ 0 };
}

void bmap_device_list_free(struct bmap_device_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		bmap_device_free(&list->devices[i]);
	free(list->devices);
	*list = (struct bmap_device_list){ 0 };
}
