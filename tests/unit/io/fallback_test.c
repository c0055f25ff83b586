/* SPDX-License-Identifier: MIT */
/* engine_open() where io_uring is refused by real means, each in a child process. */
#include "io/engine.h"
#include "io/engine_internal.h"
#include "base/checked.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SETTING "/proc/sys/kernel/io_uring_disabled"

/* Children tell with their exit status which of their steps failed. */
#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __func__, __LINE__, #condition);            \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

struct said {
	int lines;
	enum bmap_log_level level;
	char text[256];
};

static void note(void *user, enum bmap_log_level level, const char *text)
{
	struct said *said = user;

	said->lines++;
	said->level = level;
	snprintf(said->text, sizeof(said->text), "%s", text);
}

/* After this, a system call gives errnum. */
static void filter_call(long call, int errnum)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)errnum),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = ARRAY_LEN(rules), .filter = rules };

	CHECK(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

/* Opens an engine and reads with it. */
static void use_engine(const char *want_engine, const char *want_text, bool want_registered)
{
	struct said said = { 0 };
	struct bmap_log log = { .message = note, .user = &said };
	struct bmap_error err = { 0 };
	struct io_engine *engine = engine_open(8, &log, &err);
	size_t len = 16 * MIB;
	uint8_t *data = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = open("/proc/self/exe", O_RDONLY);
	struct io_request *done[1];
	struct io_request req = { .op = IO_READ, .fd = fd, .data = data, .len_bytes = 4 };

	CHECK(engine && data != MAP_FAILED && fd >= 0);
	CHECK(!strcmp(engine->ops->name, want_engine));
	CHECK(said.lines == (want_text ? 1 : 0));
	if (want_text && !strstr(said.text, want_text))
		fprintf(stderr, "said: %s\n", said.text);
	CHECK(!want_text || (said.level == BMAP_LOG_INFO && strstr(said.text, want_text)));
	CHECK(engine_register_buffer(engine, data, len) == want_registered);
	CHECK(engine_queue(engine, &req));
	CHECK(engine_wait(engine, done, 1, 10000) == 1 && req.result == 4);
	CHECK(!memcmp(data, "\177ELF", 4));
	CHECK(engine->counters.fixed == (want_registered ? 1 : 0));
	engine_free(engine);
}

static int in_child(void (*run)(void))
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void require_io_uring(void)
{
	struct bmap_error err;
	struct io_engine *engine = uring_open(1, &err);

	if (!engine) {
		printf("skipped: %s\n", err.text);
		skip();
	}
	engine_free(engine);
}

static void setup_gives_eperm(void)
{
	filter_call(SYS_io_uring_setup, EPERM);
	use_engine("psync", "not permitted here", false);
}

static void setup_gives_enosys(void)
{
	filter_call(SYS_io_uring_setup, ENOSYS);
	use_engine("psync", "no io_uring", false);
}

static void enter_gives_eperm(void)
{
	filter_call(SYS_io_uring_enter, EPERM);
	use_engine("psync", "not permitted here", false);
}

static void register_gives_enosys(void)
{
	filter_call(SYS_io_uring_register, ENOSYS);
	use_engine("psync", "no io_uring", false);
}

static void no_descriptors(void)
{
	struct rlimit none = { 3, 3 };
	struct bmap_error err = { 0 };

	CHECK(!setrlimit(RLIMIT_NOFILE, &none));
	CHECK(!uring_open(4, &err));
	CHECK(err.errnum == EMFILE);
}

static void little_locked_memory(void)
{
	struct rlimit little = { 64 * KIB, 64 * KIB };

	CHECK(!setrlimit(RLIMIT_MEMLOCK, &little));
	/* The limit does not bind root (CAP_IPC_LOCK). */
	CHECK(getuid() || !setresuid(65534, 65534, 65534));
	use_engine("io_uring", NULL, false);
}

static void fast_path(void)
{
	use_engine("io_uring", NULL, true);
}

static void no_io_uring_falls_back_to_threads_and_says_why(void **state)
{
	(void)state;
	require_io_uring();
	assert_int_equal(in_child(setup_gives_eperm), 0);
	assert_int_equal(in_child(setup_gives_enosys), 0);
	assert_int_equal(in_child(enter_gives_eperm), 0);
	assert_int_equal(in_child(register_gives_enosys), 0);
}

static void a_system_without_descriptors_is_an_error_not_a_fallback(void **state)
{
	(void)state;
	require_io_uring();
	assert_int_equal(in_child(no_descriptors), 0);
}

static void too_little_locked_memory_costs_only_the_registration(void **state)
{
	(void)state;
	require_io_uring();
	assert_int_equal(in_child(little_locked_memory), 0);
}

static void the_normal_run_takes_io_uring_with_registered_memory(void **state)
{
	(void)state;
	require_io_uring();
	if (getuid() != 0) {
		printf("skipped: needs root (RLIMIT_MEMLOCK)\n");
		skip();
	}
	assert_int_equal(in_child(fast_path), 0);
}

static void set_disabled(const char *value)
{
	int fd = open(SETTING, O_WRONLY);

	CHECK(fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value));
	close(fd);
}

static void disabled_by_sysctl(void)
{
	use_engine("psync", "kernel.io_uring_disabled=2", false);
}

static void the_sysctl_falls_back_to_threads_and_says_why(void **state)
{
	char before[16] = "";
	int fd = open(SETTING, O_RDONLY), result;

	(void)state;
	require_io_uring();
	/* It changes the whole machine for a moment: only where nothing else is running. */
	if (!getenv("BMAP_TEST_SYSCTL") || getuid() != 0 || fd < 0) {
		printf("skipped: needs BMAP_TEST_SYSCTL=1, root and " SETTING "\n");
		skip();
	}
	assert_true(read(fd, before, sizeof(before) - 1) > 0);
	close(fd);
	set_disabled("2");
	result = in_child(disabled_by_sysctl);
	set_disabled(before);
	assert_int_equal(result, 0);
}

static void reasons_are_said_in_words(void **state)
{
	static const struct {
		int errnum, disabled;
		const char *want;
	} cases[] = {
		{ EPERM, 2, "kernel.io_uring_disabled=2" },
		{ EPERM, 1, "io_uring_group" },
		{ EPERM, 0, "seccomp" },
		{ EPERM, -1, "seccomp" },
		{ ENOSYS, 2, "no io_uring" },
		{ ENOMEM, 0, "Cannot allocate memory" },
	};
	char text[160];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uring_refusal(text, sizeof(text), cases[i].errnum, cases[i].disabled);
		assert_non_null(strstr(text, cases[i].want));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_io_uring_falls_back_to_threads_and_says_why),
		cmocka_unit_test(a_system_without_descriptors_is_an_error_not_a_fallback),
		cmocka_unit_test(too_little_locked_memory_costs_only_the_registration),
		cmocka_unit_test(the_normal_run_takes_io_uring_with_registered_memory),
		cmocka_unit_test(the_sysctl_falls_back_to_threads_and_says_why),
		cmocka_unit_test(reasons_are_said_in_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
