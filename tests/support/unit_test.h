/* SPDX-License-Identifier: MIT */
/* unit_test.h - cmocka with the headers that it wants before it. */
#ifndef UNIT_TEST_H
#define UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#endif
