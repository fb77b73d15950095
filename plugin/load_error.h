/* SPDX-License-Identifier: MIT */
/*
 * Why the classifier can't be loaded, in one sentence that names the remedy.
 */
#ifndef PB_LOAD_ERROR_H
#define PB_LOAD_ERROR_H

#define LOAD_ERROR_SIZE 320

/*
 * 0, or -EOPNOTSUPP with the sentence in reason[]: this kernel is too old, whatever else may be
 * right or wrong.
 */
int check_kernel(char reason[LOAD_ERROR_SIZE]);

/*
 * The sentence for an error of loading, negative errno or libbpf's. Returns -EPERM if capabilities
 * are missing, whatever the kernel said, or if -EPERM is a user namespace's; else `error`. What
 * libbpf and the verifier said is discarded, see log_capture_discard, where it would mislead: in
 * the first two cases, and where kernel and libbpf can't tell the classifier's contexts.
 */
int explain_load_error(int error, char reason[LOAD_ERROR_SIZE]);

#endif
