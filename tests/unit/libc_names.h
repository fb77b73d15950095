/* SPDX-License-Identifier: MIT */
/*
 * With _FILE_OFFSET_BITS=64 and _TIME_BITS=64 (what gcc takes for granted on Debian 13's armhf)
 * glibc's headers give some functions the names of others, by an asm label. These are the names
 * that the linker wraps and dlsym() finds; the linker has to be told of either.
 */
#ifndef PB_LIBC_NAMES_H
#define PB_LIBC_NAMES_H

#include <time.h>

#ifdef __USE_FILE_OFFSET64
#define __real_getrlimit __real_getrlimit64
#define __real_mmap      __real_mmap64
#define __real_setrlimit __real_setrlimit64
#define __wrap_fopen     __wrap_fopen64
#define __wrap_getrlimit __wrap_getrlimit64
#define __wrap_mmap      __wrap_mmap64
#define __wrap_setrlimit __wrap_setrlimit64
#endif

#if defined(__USE_TIME_BITS64) && __TIMESIZE == 32
#define __wrap_clock_gettime __wrap___clock_gettime64
#define CLOCK_GETTIME        "__clock_gettime64"
#define COND_TIMEDWAIT       "__pthread_cond_timedwait64"
#else
#define CLOCK_GETTIME  "clock_gettime"
#define COND_TIMEDWAIT "pthread_cond_timedwait"
#endif

#endif
