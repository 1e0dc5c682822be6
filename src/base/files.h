/* base/files.h - two things that a call on a file does not do by itself. */
#ifndef LEAT_BASE_FILES_H
#define LEAT_BASE_FILES_H
#include <stdbool.h>
#include <stddef.h>

/* Where the file stands, until all of it is written: write(2) may take less than it is given
 * without an error. false: errno says why not; a part may be written. */
bool leat__write_all(int file, const void *bytes, size_t length);
/* What was made or renamed in the folder survives a power cut; a sync of the files in it does not
 * see to that. false: errno. */
bool leat__sync_dir(const char *dir);
#endif
