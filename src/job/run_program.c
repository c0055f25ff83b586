/* SPDX-License-Identifier: MIT */
#include "job/run_program.h"

#include "base/checked.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define STREAMS 3
/* A program that it started may hold the pipes longer than it lives: who waits looks at both. */
#define WAIT_OPEN_MS 100
#define WAIT_CLOSED_MS 2
/* Above every number that a descriptor gets in the program, so that none overwrites another. */
#define LOWEST_FD 10

struct pipes {
	int ours[STREAMS], theirs[STREAMS]; /* -1: closed */
};

static bool pipes_open(struct pipes *pipes, struct bmap_error *err);
static void close_all(int fds[STREAMS]);
static bool spawn(pid_t *pid, struct program_run *run, const struct pipes *pipes,
		  struct bmap_error *err);
static bool wait_for_end(pid_t pid, struct program_run *run, struct pipes *pipes,
			 struct bmap_error *err);

bool run_program(struct program_run *run, struct bmap_error *err)
{
	struct pipes pipes;
	pid_t pid = 0;
	bool good = pipes_open(&pipes, err) && spawn(&pid, run, &pipes, err);

	close_all(pipes.theirs);
	good = good && wait_for_end(pid, run, &pipes, err);
	close_all(pipes.ours);
	return good;
}

static void close_all(int fds[STREAMS])
{
	for (size_t i = 0; i < STREAMS; i++) {
		cleanup_close(&fds[i]);
		fds[i] = -1;
	}
}

static bool pipes_open(struct pipes *pipes, struct bmap_error *err)
{
	bool good = true;

	for (size_t i = 0; i < STREAMS; i++)
		pipes->ours[i] = pipes->theirs[i] = -1;
	for (size_t i = 0; good && i < STREAMS; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC))
			return bmap_error_errno(err, "cannot create a pipe");
		pipes->ours[i] = ends[0];
		pipes->theirs[i] = fcntl(ends[1], F_DUPFD_CLOEXEC, LOWEST_FD);
		good = pipes->theirs[i] >= 0 && !fcntl(ends[0], F_SETFL, O_NONBLOCK);
		if (!good)
			bmap_error_errno(err, "cannot create a pipe");
		close(ends[1]);
	}
	return good;
}

/* The environment with LC_ALL=C and no LANGUAGE; the strings are shared. */
static char **make_environment(void)
{
	static char locale[] = "LC_ALL=C";
	size_t n = 0, out = 0;
	char **copy;

	while (environ && environ[n])
		n++;
	copy = calloc(n + 2, sizeof(*copy));
	if (!copy)
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], "LC_ALL=", 7) != 0 &&
		    strncmp(environ[i], "LANGUAGE=", 9) != 0)
			copy[out++] = environ[i];
	copy[out] = locale;
	return copy;
}

/* A process group of its own: ^C on the terminal reaches us, and we end it. */
static int set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t all, none;

	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_setpgroup(attributes, 0);
	posix_spawnattr_setsigdefault(attributes, &all);
	posix_spawnattr_setsigmask(attributes, &none);
	return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |
							    POSIX_SPAWN_SETSIGMASK);
}

static int set_descriptors(posix_spawn_file_actions_t *actions, const int from[])
{
	int failed = 0;

	for (int to = 0; !failed && to <= PROGRAM_EXTRA_FD; to++)
		if (from[to] >= 0)
			failed = posix_spawn_file_actions_adddup2(actions, from[to], to);
	return failed;
}

static bool spawn(pid_t *pid, struct program_run *run, const struct pipes *pipes,
		  struct bmap_error *err)
{
	CLEANUP_FREE char **environment = make_environment();
	CLEANUP_CLOSE int input = fcntl(run->input_fd, F_DUPFD_CLOEXEC, LOWEST_FD);
	CLEANUP_CLOSE int extra =
		run->extra_fd < 0 ? -1 : fcntl(run->extra_fd, F_DUPFD_CLOEXEC, LOWEST_FD);
	const int from[] = { input, pipes->theirs[0], pipes->theirs[1], pipes->theirs[2], extra };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int failed;

	if (!environment)
		return bmap_error_memory(err, run->argv[0]);
	if (input < 0 || (run->extra_fd >= 0 && extra < 0))
		return bmap_error_errno(err, "%s: cannot pass a file on to it", run->argv[0]);
	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	failed = set_descriptors(&actions, from);
	if (!failed)
		failed = set_attributes(&attributes);
	if (!failed)
		failed = posix_spawnp(pid, run->argv[0], &actions, &attributes,
				      (char *const *)run->argv, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	return !failed || bmap_error_errnum(err, failed, "%s: cannot run it", run->argv[0]);
}

/* Takes what is there. False if there is no room for it. */
static bool stream_drain(struct program_stream *stream, int *fd)
{
	while (*fd >= 0) {
		char chunk[4096];
		ssize_t n = read(*fd, chunk, sizeof(chunk));
		size_t take;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0) {
			cleanup_close(fd);
			*fd = -1;
			return true;
		}
		take = (size_t)min_u64((uint64_t)n, stream->room - stream->len);
		if (take < (size_t)n && !stream->cut)
			return false;
		if (take)
			memcpy(stream->bytes + stream->len, chunk, take);
		stream->len += take;
	}
	return true;
}

static bool drain(struct program_run *run, struct pipes *pipes, struct bmap_error *err)
{
	return (stream_drain(&run->output, &pipes->ours[0]) &&
		stream_drain(&run->errors, &pipes->ours[1]) &&
		stream_drain(&run->status, &pipes->ours[2])) ||
	       bmap_error_set(err, BMAP_ERR_REFUSED, "%s wrote more than was expected of it",
			      run->argv[0]);
}

/* 1: it has ended, 0: not yet, -1: nobody can tell (the process ignores SIGCHLD, or somebody else
 * took the answer). */
static int has_ended(pid_t pid, struct program_run *run, int flags)
{
	int status;
	pid_t got;

	do
		got = waitpid(pid, &status, flags);
	while (got < 0 && errno == EINTR);
	if (got <= 0)
		return (int)got;
	run->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return 1;
}

static bool end_early(pid_t pid, struct program_run *run)
{
	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	has_ended(pid, run, 0);
	return false;
}

static bool wait_for_end(pid_t pid, struct program_run *run, struct pipes *pipes,
			 struct bmap_error *err)
{
	for (;;) {
		struct pollfd fds[STREAMS + 1] = { [STREAMS] = { .fd = stop_fd(run->stop),
								 .events = POLLIN } };
		bool open = false;
		int ended;

		for (size_t i = 0; i < STREAMS; i++) {
			fds[i] = (struct pollfd){ .fd = pipes->ours[i], .events = POLLIN };
			open |= pipes->ours[i] >= 0;
		}
		poll(fds, STREAMS + 1, open ? WAIT_OPEN_MS : WAIT_CLOSED_MS);
		if (bmap_stop_requested(run->stop)) {
			bmap_error_set(err, BMAP_ERR_INTERRUPTED, "interrupted while %s ran",
				       run->argv[0]);
			return end_early(pid, run);
		}
		/* First, so that all it wrote is there to be drained. */
		ended = has_ended(pid, run, WNOHANG);
		if (ended < 0)
			return bmap_error_errno(err, "%s: cannot tell how it ended", run->argv[0]);
		if (!drain(run, pipes, err))
			return ended ? false : end_early(pid, run);
		if (ended)
			return true;
	}
}
