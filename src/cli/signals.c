/* SPDX-License-Identifier: MIT */
#include "cli/signals.h"
#include "cli/output.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STATE_ROOM 1024
#define STATE_PREFIX "bmaptool: ERROR: interrupted again, leaving at once: "
#define NOTICE                                                                                     \
	"bmaptool: WARNING: interrupted: waiting for what is in flight (once more to leave at "    \
	"once)\n"

/* The only mutable globals of the program: a handler is given nothing else. */
static _Atomic(struct bmap_stop *) job_stop;
static atomic_int first_signal;
static _Atomic(struct output *) job_output; /* NULL: standard error as it is */
static atomic_bool say_nothing;
/* Two texts in turn: the handler writes out the one that is complete. */
static char state_text[2][STATE_ROOM];
static size_t state_len[2];
static atomic_uint state_current;

static void put(const char *text, size_t len)
{
	struct output *out = atomic_load(&job_output);
	ssize_t ignored;

	if (out) {
		output_from_signal(out, text, len);
		return;
	}
	ignored = write(STDERR_FILENO, text, len);
	(void)ignored;
}

static void on_signal(int number)
{
	int saved = errno;
	int none = 0;
	struct bmap_stop *stop = atomic_load(&job_stop);

	if (stop && atomic_compare_exchange_strong(&first_signal, &none, number)) {
		bmap_stop_request(stop);
		if (!atomic_load(&say_nothing))
			put(NOTICE, sizeof(NOTICE) - 1);
	} else {
		unsigned current = atomic_load(&state_current) % 2;

		put(state_text[current], state_len[current]);
		_exit(128 + number);
	}
	errno = saved;
}

void signals_install(struct bmap_stop *stop, struct output *out, bool quiet)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal };
	struct sigaction old;

	signals_set_state("nothing was done yet");
	atomic_store(&job_output, out);
	atomic_store(&say_nothing, quiet);
	atomic_store(&job_stop, stop);
	sigemptyset(&action.sa_mask);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		sigaction(numbers[i], NULL, &old);
		if (old.sa_handler != SIG_IGN || numbers[i] == SIGTERM)
			sigaction(numbers[i], &action, NULL);
	}
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
	/* A file that grows over "ulimit -f" is an error like any other, and cleaned up after. */
	sigaction(SIGXFSZ, &action, NULL);
}

void signals_forget(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction old;

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		sigaction(numbers[i], NULL, &old);
		if (old.sa_handler == on_signal)
			signal(numbers[i], SIG_DFL);
	}
	atomic_store(&job_stop, NULL);
	atomic_store(&job_output, NULL);
}

void signals_set_state(const char *fmt, ...)
{
	unsigned next = (atomic_load(&state_current) + 1) % 2;
	char *text = state_text[next];
	size_t len = sizeof(STATE_PREFIX) - 1;
	va_list args;

	memcpy(text, STATE_PREFIX, len);
	va_start(args, fmt);
	vsnprintf(text + len, STATE_ROOM - 1 - len, fmt, args);
	va_end(args);
	len += strlen(text + len);
	for (size_t i = 0; i < len; i++) /* names may hold anything, as in output_human.c */
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = '?';
	text[len++] = '\n';
	state_len[next] = len;
	atomic_store(&state_current, next);
}

int signals_exit_code(void)
{
	int number = atomic_load(&first_signal);

	return number ? 128 + number : 0;
}
