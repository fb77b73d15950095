/* SPDX-License-Identifier: MIT */
/*
 * What libbpf prints, in collectd's log. libbpf explains itself line by line while it works;
 * captured, our one sentence can come first, and its text follows only when it is of use.
 * Captures are per thread; other threads, and other plugins that use libbpf, are not affected.
 */
#ifndef PB_LIBBPF_LOG_H
#define PB_LIBBPF_LOG_H

/* From here on this thread's lines are captured. Captures nest: the outermost end decides. */
void log_capture_begin(void);

/* Drops the lines captured so far: the cause is already known. */
void log_capture_discard(void);

/* Ends the capture. The lines are logged, each behind `name`, unless priority is negative. */
void log_capture_end(const char *name, int priority);

#endif
