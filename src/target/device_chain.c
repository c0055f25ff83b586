/* SPDX-License-Identifier: MIT */
#include "target/device_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Disks without a bus: known by their names. */
static const struct {
	const char *prefix, *transport;
} by_name[] = { { "loop", "loop" }, { "zram", "ram" }, { "ram", "ram" } };

/* The nearest of these above the disk names its transport. */
static const struct {
	const char *subsystem, *transport;
} by_subsystem[] = {
	{ "mmc", "mmc" },   { "nvme", "nvme" },     { "nvme-subsystem", "nvme" },
	{ "scsi", "scsi" }, { "virtio", "virtio" }, { "usb", "usb" },
};

static const char *transport_by_name(const char *disk_folder)
{
	const char *name = strrchr(disk_folder, '/');

	name = name ? name + 1 : disk_folder;
	for (size_t i = 0; i < sizeof(by_name) / sizeof(by_name[0]); i++) {
		size_t len = strlen(by_name[i].prefix);

		if (!strncmp(name, by_name[i].prefix, len) && isdigit((unsigned char)name[len]))
			return by_name[i].transport;
	}
	return NULL;
}

static bool subsystem_of(const char *folder, char name[NAME_MAX + 1])
{
	char path[PATH_MAX], link[PATH_MAX];
	const char *base;
	ssize_t n;

	if (snprintf(path, sizeof(path), "%s/subsystem", folder) >= (int)sizeof(path))
		return false;
	n = readlink(path, link, sizeof(link) - 1);
	if (n <= 0)
		return false;
	link[n] = '\0';
	base = strrchr(link, '/');
	snprintf(name, NAME_MAX + 1, "%.*s", NAME_MAX, base ? base + 1 : link);
	return true;
}

/* "ata1": a port of libata, above the SCSI host that it pretends to be. */
static bool is_ata_port(const char *name)
{
	if (strncmp(name, "ata", 3) || !name[3])
		return false;
	return strspn(name + 3, "0123456789") == strlen(name + 3);
}

static void look_at(struct device_chain *chain, const char *folder)
{
	const char *name = strrchr(folder, '/') + 1;
	bool scsi = chain->transport && !strcmp(chain->transport, "scsi");
	char subsystem[NAME_MAX + 1];

	if (scsi && is_ata_port(name))
		chain->transport = "ata";
	if (!subsystem_of(folder, subsystem))
		return;
	for (size_t i = 0; !chain->transport && i < sizeof(by_subsystem) / sizeof(by_subsystem[0]);
	     i++)
		if (!strcmp(subsystem, by_subsystem[i].subsystem))
			chain->transport = by_subsystem[i].transport;
	if (strcmp(subsystem, "usb"))
		return;
	if (scsi)
		chain->transport = "usb"; /* USB mass storage speaks SCSI */
	if (strchr(name, ':') || chain->usb_port[0]) /* an interface of the device above */
		return;
	snprintf(chain->usb_port, sizeof(chain->usb_port), "%.*s", NAME_MAX, name);
	snprintf(chain->usb_folder, sizeof(chain->usb_folder), "%s", folder);
}

void device_chain_read(struct device_chain *chain, const struct device_places *places,
		       const char *disk_folder)
{
	char path[PATH_MAX], top[PATH_MAX], place[PATH_MAX];
	size_t top_len;

	*chain = (struct device_chain){ .transport = transport_by_name(disk_folder) };
	if (snprintf(place, sizeof(place), "%s/devices", places->sys) >= (int)sizeof(place) ||
	    !realpath(place, top) ||
	    snprintf(place, sizeof(place), "%s/device", disk_folder) >= (int)sizeof(place) ||
	    !realpath(place, path))
		return;
	top_len = strlen(top);
	while (!strncmp(path, top, top_len) && path[top_len] == '/') {
		look_at(chain, path);
		*strrchr(path, '/') = '\0';
	}
}
