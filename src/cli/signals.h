/* SPDX-License-Identifier: MIT */
/* cli/signals.h - what a signal does to a running job.
 *
 * SIGINT, SIGTERM, SIGHUP: the first asks the job to stop; the second prints where it stands and
 * leaves at once with 128 + its number. One that was ignored when the program was started stays
 * ignored (nohup, background jobs of a shell), except SIGTERM. SIGPIPE and SIGXFSZ are
 * ignored: write(2) says EPIPE and EFBIG.
 * Threads: of the main thread, except the handlers themselves. There is one job in a process. */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include "cli/output.h"

#include <bmap/stop.h>

/* Both are borrowed until signals_forget(); out may be NULL. quiet: the first signal says nothing.
 */
void signals_install(struct bmap_stop *stop, struct output *out, bool quiet);
/* From here on a signal finds no job: it ends the process. */
void signals_forget(void);
/* What a second signal prints, without a newline; copied. Cheap: for every progress report. */
void signals_set_state(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* 128 + the signal that came, 0: none did. */
int signals_exit_code(void);

#endif
