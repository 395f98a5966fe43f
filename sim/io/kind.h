/* SPDX-License-Identifier: MIT */
#ifndef SIM_IO_KIND_H
#define SIM_IO_KIND_H

/*
 * What a file most likely is that is not what was asked for: so that a message can say what to do with it.
 */
#include <stddef.h>
#include <stdint.h>

#define KIND_BYTES 4096 /* of a file that are looked at */

/** Returns what @bytes, the first @len of a file, are and where such a file belongs, as the end of a sentence: "a snapshot:
 *  for iommusim diff, snapshot, pagetable and iova". NULL where that is not known. */
const char *kind_of_file(const uint8_t *bytes, size_t len);

/** The same of what cannot be a key file. */
const char *kind_of_no_keyfile(const uint8_t *bytes, size_t len);

/** The same of the directory @path. */
const char *kind_of_directory(const char *path);

#endif
