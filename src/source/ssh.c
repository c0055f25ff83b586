/* SPDX-License-Identifier: MIT */
/* ssh: the ssh program prints the file. Questions (host keys, passwords) it asks on the terminal
 * itself, and what it has to say goes to our standard error. */
#include "base/clock.h"
#include "base/cleanup.h"
#include "source/source_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define END_MS 1000 /* for the program to end by itself before it is killed */
#define LOOK_MS 10
#define SSH_FAILED 255 /* ssh(1): an error of ssh; all others are the remote command's */
#define SHELL_NO_COMMAND 127

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
#define ADD_CLOSE_REST(actions) posix_spawn_file_actions_addclosefrom_np(actions, 3)
#else /* then it is left to O_CLOEXEC, which all of ours have */
#define ADD_CLOSE_REST(actions) 0
#endif

struct ssh_source {
	struct source source; /* first: the two are converted into each other */
	pid_t pid; /* 0: it was reaped */
	int fd; /* its standard output, not waiting */
	uint64_t read_bytes;
};

/* What is given to the program. All but port are malloc'ed. */
struct ssh_call {
	char *destination; /* host or user@host */
	char *command; /* for the remote shell */
	char port[12]; /* empty: the usual one */
};

static ssize_t ssh_read(struct source *source, void *data, size_t len, struct bmap_error *err);
static void ssh_close(struct source *source);
static bool make_call(struct ssh_call *call, const struct url_request *request,
		      struct bmap_error *err);
static void free_call(struct ssh_call *call);
static bool start(struct ssh_source *ssh, const struct ssh_call *call, struct bmap_error *err);
static ssize_t at_end(struct ssh_source *ssh, struct bmap_error *err);
static bool interrupted(struct ssh_source *ssh, struct bmap_error *err);

static const struct source_ops ssh_ops = {
	.read = ssh_read,
	.close = ssh_close,
};

struct source *ssh_source_open(const struct url_request *request, struct bmap_error *err)
{
	struct ssh_source *ssh = calloc(1, sizeof(*ssh));
	struct ssh_call call = { 0 };
	bool good;

	if (!ssh || !(ssh->source.name = strdup(request->name))) {
		free(ssh);
		bmap_error_memory(err, request->name);
		return NULL;
	}
	ssh->source.ops = &ssh_ops;
	ssh->source.fd = ssh->fd = -1;
	ssh->source.stop = request->stop;
	good = make_call(&call, request, err) && start(ssh, &call, err);
	free_call(&call);
	if (!good) {
		source_close(&ssh->source);
		return NULL;
	}
	return &ssh->source;
}

/* In single quotes every character stands for itself, in every shell. */
static char *quoted_command(const char *path)
{
	static const char command[] = "cat -- '";
	char *out = malloc(sizeof(command) + 4 * strlen(path) + 2), *p;

	if (!out)
		return NULL;
	p = stpcpy(out, command);
	for (; *path; path++) {
		if (*path == '\'')
			p = stpcpy(p, "'\\''");
		else
			*p++ = *path;
	}
	stpcpy(p, "'");
	return out;
}

/* ssh(1) hands user and host on to other programs, too (ProxyCommand): an option, or anything that
 * a shell would take for more than a word, is never meant. */
static bool is_plain_word(const char *word)
{
	static const char odd[] = " \t\"'`$\\;&<>|(){}!*?~#/@";

	if (!*word || *word == '-' || word[strcspn(word, odd)])
		return false;
	for (; *word; word++)
		if ((unsigned char)*word < 0x20 || *word == 0x7f)
			return false;
	return true;
}

static bool check_path(const char *path, const struct url_request *request, struct bmap_error *err)
{
	if (request->url->tail.len || !path[0] || path[strlen(path) - 1] == '/')
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "%s: not the URL of a file (\"?\" and \"#\" in a name are "
				      "written %%3F and %%23)",
				      request->name);
	for (; *path; path++)
		if ((unsigned char)*path < 0x20 || *path == 0x7f)
			return bmap_error_set(err, BMAP_ERR_USAGE,
					      "%s: control characters in the file's name",
					      request->name);
	return true;
}

static bool make_call(struct ssh_call *call, const struct url_request *request,
		      struct bmap_error *err)
{
	const struct url *url = request->url;
	struct url_span address = url->host;
	CLEANUP_FREE char *path = NULL, *user = NULL, *host = NULL;

	if (url->has_password)
		return bmap_error_set(
			err, BMAP_ERR_USAGE,
			"%s: refused: a password in an ssh URL would be seen by all "
			"users of this machine: leave it out, and use a key or type it "
			"when ssh asks",
			request->name);
	if (address.at[0] == '[') { /* ssh wants the bare address */
		address.at++;
		address.len -= 2;
	}
	path = url_decode(url->path, request->name, err);
	user = path ? url_decode(url->user, request->name, err) : NULL;
	host = user ? strndup(address.at, address.len) : NULL;
	if (!path || !user)
		return false;
	if (!host)
		return bmap_error_memory(err, request->name);
	if (!is_plain_word(host) || (url->has_userinfo && !is_plain_word(user)))
		return bmap_error_set(err, BMAP_ERR_USAGE,
				      "%s: refused: a host or user that begins with \"-\" or has "
				      "characters of the shell in it",
				      request->name);
	if (!check_path(path, request, err))
		return false;
	if (asprintf(&call->destination, "%s%s%s", user, *user ? "@" : "", host) < 0)
		call->destination = NULL;
	call->command = quoted_command(path);
	if (!call->destination || !call->command)
		return bmap_error_memory(err, request->name);
	if (url->port)
		snprintf(call->port, sizeof(call->port), "%u", url->port);
	return true;
}

static void free_call(struct ssh_call *call)
{
	free(call->destination);
	free(call->command);
}

/* Its standard input is empty, its output our pipe; signals are as for any new program. Returns
 * an errno. */
static int spawn_with(pid_t *pid, char *const argv[], int output,
		      posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes)
{
	sigset_t all, none;
	int rc;

	sigfillset(&all);
	sigemptyset(&none);
	if ((rc = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY,
						   0)) ||
	    (rc = posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO)) ||
	    (rc = ADD_CLOSE_REST(actions)) ||
	    (rc = posix_spawnattr_setsigdefault(attributes, &all)) ||
	    (rc = posix_spawnattr_setsigmask(attributes, &none)) ||
	    (rc = posix_spawnattr_setflags(attributes,
					   POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK)))
		return rc;
	return posix_spawnp(pid, argv[0], actions, attributes, argv, environ);
}

static int spawn(pid_t *pid, char *const argv[], int output)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int rc = posix_spawn_file_actions_init(&actions);

	if (rc)
		return rc;
	rc = posix_spawnattr_init(&attributes);
	if (!rc) {
		rc = spawn_with(pid, argv, output, &actions, &attributes);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static bool start(struct ssh_source *ssh, const struct ssh_call *call, struct bmap_error *err)
{
	char *argv[10] = { "ssh", "-T", "-x" };
	size_t count = 3;
	int ends[2], rc;

	if (call->port[0]) {
		argv[count++] = "-p";
		argv[count++] = (char *)call->port;
	}
	argv[count++] = "--";
	argv[count++] = call->destination;
	argv[count++] = call->command;
	if (pipe2(ends, O_CLOEXEC))
		return bmap_error_errno(err, "%s: cannot make a pipe", ssh->source.name);
	ssh->fd = ends[0];
	rc = fcntl(ends[0], F_SETFL, O_NONBLOCK) ? errno : spawn(&ssh->pid, argv, ends[1]);
	close(ends[1]);
	if (rc) {
		ssh->pid = 0;
		return bmap_error_errnum(err, rc,
					 "%s: cannot start the program ssh, which fetches the file "
					 "(package openssh-client)",
					 ssh->source.name);
	}
	return true;
}

static ssize_t ssh_read(struct source *source, void *data, size_t len, struct bmap_error *err)
{
	struct ssh_source *ssh = (struct ssh_source *)source;
	ssize_t n;

	for (;;) {
		struct pollfd fds[2] = {
			{ .fd = stop_fd(source->stop), .events = POLLIN },
			{ .fd = ssh->fd, .events = POLLIN },
		};

		if (bmap_stop_requested(source->stop))
			return interrupted(ssh, err) - 1;
		n = read(ssh->fd, data, len);
		if (n > 0)
			ssh->read_bytes += (uint64_t)n;
		if (n >= 0)
			break;
		if (errno != EAGAIN && errno != EINTR) {
			bmap_error_errno(err, "%s: cannot read after %" PRIu64 " bytes",
					 source->name, ssh->read_bytes);
			return -1;
		}
		poll(fds, 2, -1);
	}
	return n ? n : at_end(ssh, err);
}

static bool interrupted(struct ssh_source *ssh, struct bmap_error *err)
{
	return bmap_error_set(err, BMAP_ERR_INTERRUPTED,
			      "%s: interrupted after %" PRIu64 " bytes were read", ssh->source.name,
			      ssh->read_bytes);
}

static bool judge_status(struct ssh_source *ssh, int status, struct bmap_error *err)
{
	const char *name = ssh->source.name;
	int code = WEXITSTATUS(status);

	if (WIFEXITED(status) && !code)
		return true;
	if (!WIFEXITED(status))
		return bmap_error_set(err, BMAP_ERR_IO,
				      "%s: ssh was ended by signal %d after %" PRIu64 " bytes",
				      name, WTERMSIG(status), ssh->read_bytes);
	if (code == SSH_FAILED)
		return bmap_error_set(err, BMAP_ERR_IO,
				      "%s: the connection failed after %" PRIu64
				      " bytes (ssh ended with code %d; it said why above)",
				      name, ssh->read_bytes, code);
	/* cat found no such file, or one it may not read. */
	return bmap_error_set(
		err, ssh->read_bytes || code == SHELL_NO_COMMAND ? BMAP_ERR_IO : BMAP_ERR_NOT_FOUND,
		"%s: cat on the other machine ended with code %d after %" PRIu64 " bytes", name,
		code, ssh->read_bytes);
}

/* The data ended: whether it is whole is known when the program ended well. 0 or -1. */
static ssize_t at_end(struct ssh_source *ssh, struct bmap_error *err)
{
	struct pollfd fd = { .fd = stop_fd(ssh->source.stop), .events = POLLIN };
	int status;
	pid_t pid;

	while (ssh->pid) {
		pid = waitpid(ssh->pid, &status, WNOHANG);
		if (pid == ssh->pid) {
			ssh->pid = 0;
			return judge_status(ssh, status, err) ? 0 : -1;
		}
		if (pid < 0 && errno != EINTR) {
			ssh->pid = 0;
			bmap_error_errno(err, "%s: cannot learn how ssh ended", ssh->source.name);
			return -1;
		}
		if (bmap_stop_requested(ssh->source.stop))
			return interrupted(ssh, err) - 1;
		poll(&fd, 1, LOOK_MS);
	}
	return 0;
}

static void end_program(pid_t pid)
{
	uint64_t end_ns = clock_now_ns() + END_MS * NS_PER_MS;

	kill(pid, SIGTERM);
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (clock_now_ns() < end_ns) {
			poll(NULL, 0, LOOK_MS);
			continue;
		}
		kill(pid, SIGKILL);
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return;
	}
}

static void ssh_close(struct source *source)
{
	struct ssh_source *ssh = (struct ssh_source *)source;

	if (ssh->fd >= 0)
		close(ssh->fd);
	if (ssh->pid)
		end_program(ssh->pid);
	free(ssh);
}
