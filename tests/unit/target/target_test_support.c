/* SPDX-License-Identifier: MIT */
#include "target_test_support.h"
#include "base/checked.h"

#include <fcntl.h>
#include <linux/blkpg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

static void remember(void *user, enum bmap_log_level level, const char *text)
{
	struct bench *b = user;
	size_t len = strlen(b->lines);

	snprintf(b->lines + len, sizeof(b->lines) - len, "%d: %s\n", (int)level, text);
}

int bench_setup(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	strcpy(b->dir, "/var/tmp/target_test.XXXXXX");
	if (!mkdtemp(b->dir))
		return -1;
	for (size_t i = 0; i < MAX_LOOPS; i++)
		b->loops[i].fd = -1;
	b->held = -1;
	b->log = (struct bmap_log){ .message = remember, .user = b };
	b->target = (struct target){ .fd = -1, .buffered_fd = -1, .whole_disk_fd = -1 };
	*state = b;
	return 0;
}

int bench_teardown(void **state)
{
	struct bench *b = *state;

	target_end(&b->target, false, 0, NULL, NULL);
	if (b->held >= 0)
		close(b->held);
	if (b->swap[0])
		swapoff(b->swap);
	if (b->mounted[0])
		umount2(b->mounted, MNT_DETACH);
	for (size_t i = MAX_LOOPS; i-- > 0;) /* the upper ones first */
		loop_detach(&b->loops[i]);
	bench_run((const char *const[]){ "rm", "-rf", b->dir, NULL });
	free(b);
	return 0;
}

const char *bench_path(const struct bench *b, const char *name)
{
	static char paths[8][160];
	static unsigned next;
	char *path = paths[next++ % ARRAY_LEN(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", b->dir, name);
	return path;
}

const char *bench_file(const struct bench *b, const char *name, uint64_t len)
{
	const char *path = bench_path(b, name);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	char block[512];

	memset(block, 'x', sizeof(block));
	assert_true(fd >= 0);
	assert_int_equal(write(fd, block, min_u64(len, sizeof(block))),
			 min_u64(len, sizeof(block)));
	assert_int_equal(ftruncate(fd, (off_t)len), 0);
	close(fd);
	return path;
}

struct loop_device *bench_loop(struct bench *b, const char *name, uint64_t bytes,
			       const struct loop_options *options)
{
	struct loop_device *loop = b->loops;

	if (loop_missing()) {
		print_message("skipped: %s\n", loop_missing());
		skip();
	}
	while (loop->fd >= 0)
		loop++;
	if (bytes)
		bench_file(b, name, bytes);
	assert_true(loop_attach(loop, bench_path(b, name), options));
	return loop;
}

bool bench_add_partition(const struct loop_device *loop, uint64_t disk_bytes)
{
	struct blkpg_partition partition = {
		.start = (long long)(disk_bytes / 2),
		.length = (long long)(disk_bytes / 2),
		.pno = 1,
	};
	struct blkpg_ioctl_arg arg = {
		.op = BLKPG_ADD_PARTITION,
		.datalen = sizeof(partition),
		.data = &partition,
	};

	return !ioctl(loop->fd, BLKPG, &arg);
}

bool bench_run(const char *const *argv)
{
	pid_t child = fork();
	int status;

	if (!child) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	       !WEXITSTATUS(status);
}

void expect_text(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" does not say \"%s\"", text, part);
}

void expect_refused(struct bench *b, const char *path, const struct target_rules *rules,
		    enum bmap_error_code code, const char *const *texts)
{
	if (target_open(&b->target, path, rules, &b->log, &b->err))
		fail_msg("%s was not refused", path);
	if (b->err.code != code)
		fail_msg("code %d, not %d: %s", (int)b->err.code, (int)code, b->err.text);
	expect_text(b->err.text, path);
	for (; *texts; texts++)
		expect_text(b->err.text, *texts);
	assert_int_equal(b->target.fd, -1);
	assert_null(b->target.name);
	assert_true(target_end(&b->target, true, 0, NULL, NULL)); /* harmless */
}

void expect_opens(struct bench *b, const char *path, const struct target_rules *rules)
{
	if (!target_open(&b->target, path, rules, &b->log, &b->err))
		fail_msg("%s was refused: %s", path, b->err.text);
}
