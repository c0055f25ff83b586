/* SPDX-License-Identifier: MIT */
#include "cli/report.h"

bool report_plot_check(const char *path, char *error)
{
	(void)path;
	snprintf(error, REPORT_ERROR_ROOM, "--plot: this program was built without cairo");
	return false;
}

bool report_plot(const char *path, const struct bmap_report *report, struct bmap_error *err)
{
	(void)path, (void)report, (void)err;
	return false; /* report_plot_check() has refused it */
}
