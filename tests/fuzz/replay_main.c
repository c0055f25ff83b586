/* SPDX-License-Identifier: MIT */
/* Gives a fuzz target every file that is named, or lies in a folder that is named. Each input is
 * an allocation of its own length, so that AddressSanitizer sees a read behind its end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static unsigned replayed;

static void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static void replay_file(int fd, const char *name, size_t len)
{
	uint8_t *data = malloc(len);
	size_t have = 0;

	if (len && !data)
		fail(name);
	while (have < len) {
		ssize_t n = read(fd, data + have, len - have);

		if (n <= 0)
			fail(name);
		have += (size_t)n;
	}
	LLVMFuzzerTestOneInput(data, len);
	replayed++;
	free(data);
}

static void replay(int folder, const char *name)
{
	int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		fail(name);
	if (S_ISDIR(st.st_mode)) {
		DIR *dir = fdopendir(fd);
		struct dirent *entry;

		if (!dir)
			fail(name);
		while ((entry = readdir(dir)) != NULL) {
			if (entry->d_name[0] != '.')
				replay(fd, entry->d_name);
		}
		closedir(dir);
		return;
	}
	printf("%s\n", name); /* the last line names the input that crashed */
	fflush(stdout);
	replay_file(fd, name, (size_t)st.st_size);
	close(fd);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay(AT_FDCWD, argv[i]);
	printf("%u inputs\n", replayed);
	return replayed ? 0 : 1; /* a corpus that is not there is not a success */
}
