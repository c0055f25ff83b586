/* SPDX-License-Identifier: MIT */
#include "loop.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int configure_a_free_one(struct loop_device *loop, int control,
				const struct loop_config *config);

const char *loop_missing(void)
{
	int control;

	if (geteuid())
		return "loop devices need root";
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return "no /dev/loop-control";
	close(control);
	return NULL;
}

bool loop_attach(struct loop_device *loop, const char *file, const struct loop_options *options)
{
	static const struct loop_options none = { 0 };
	struct loop_config config = { 0 };
	int control, backing, failed;

	*loop = (struct loop_device)LOOP_DEVICE_INIT;
	if (!options)
		options = &none;
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	backing = open(file, (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	config.fd = (uint32_t)backing;
	config.block_size = options->block_bytes;
	config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
	if (options->direct)
		config.info.lo_flags |= LO_FLAGS_DIRECT_IO;
	if (options->read_only)
		config.info.lo_flags |= LO_FLAGS_READ_ONLY;
	if (options->partitions)
		config.info.lo_flags |= LO_FLAGS_PARTSCAN;
	snprintf((char *)config.info.lo_file_name, LO_NAME_SIZE, "%s", file);
	if (control < 0 || backing < 0)
		failed = errno;
	else
		failed = configure_a_free_one(loop, control, &config);
	if (backing >= 0)
		close(backing);
	if (control >= 0)
		close(control);
	if (failed)
		fprintf(stderr, "cannot attach %s to a loop device: %s\n", file, strerror(failed));
	return !failed;
}

void loop_detach(struct loop_device *loop)
{
	if (loop->fd < 0)
		return;
	ioctl(loop->fd, LOOP_CLR_FD); /* at once if nobody else has it, else at the last close */
	close(loop->fd);
	*loop = (struct loop_device)LOOP_DEVICE_INIT;
}

/* Other programs look for free ones at the same time: who comes too late tries the next. */
static int configure_a_free_one(struct loop_device *loop, int control,
				const struct loop_config *config)
{
	for (int attempt = 0; attempt < 100; attempt++) {
		int number = ioctl(control, LOOP_CTL_GET_FREE), errnum;

		if (number < 0)
			return errno;
		snprintf(loop->name, sizeof(loop->name), "loop%d", number);
		snprintf(loop->path, sizeof(loop->path), "/dev/loop%d", number);
		loop->fd = open(loop->path, O_RDWR | O_CLOEXEC);
		if (loop->fd < 0)
			return errno;
		if (!ioctl(loop->fd, LOOP_CONFIGURE, config))
			return 0;
		errnum = errno;
		close(loop->fd);
		loop->fd = -1;
		if (errnum != EBUSY)
			return errnum;
		usleep(10000);
	}
	return EBUSY;
}
