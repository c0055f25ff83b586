/* SPDX-License-Identifier: MIT */
/* bmap.h - libbmap: block maps of disk images, and flashing with them. */
#ifndef BMAP_BMAP_H
#define BMAP_BMAP_H

#include <bmap/bench.h>
#include <bmap/create.h>
#include <bmap/device.h>
#include <bmap/error.h>
#include <bmap/file.h>
#include <bmap/flash.h>
#include <bmap/log.h>
#include <bmap/map.h>
#include <bmap/pack.h>
#include <bmap/report.h>
#include <bmap/stop.h>
#include <bmap/verify.h>

#ifdef __cplusplus
extern "C" {
#endif

BMAP_API const char *bmap_version(void); /* "MAJOR.MINOR.PATCH" */

#ifdef __cplusplus
}
#endif
#endif
