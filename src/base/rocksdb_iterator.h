/* base/rocksdb_iterator.h - the one way to end an iterator of RocksDB.
 *
 * An iterator that meets an I/O error or a damaged block becomes invalid, exactly as at the end of
 * the keys: a loop that only asks rocksdb_iter_valid() takes what can't be read for what is not
 * there. Only the end of the iterator tells the two apart, so who ends it gets the answer and can't
 * drop it. tests/lint/lint_iterators.py: nothing else in src/ and apps/ destroys an iterator. */
#ifndef LEAT_BASE_ROCKSDB_ITERATOR_H
#define LEAT_BASE_ROCKSDB_ITERATOR_H
#include "leat/base.h"
#include <rocksdb/c.h>

/* NULL: all that it was asked for was there. Else RocksDB's message, owned by the caller
 * (rocksdb_free): it stopped early. The iterator is destroyed in any case. */
LEAT_MUST_CHECK static inline char *leat__iterator_end(rocksdb_iterator_t *iterator)
{
    char *message = NULL;
    rocksdb_iter_get_error(iterator, &message);
    rocksdb_iter_destroy(iterator);
    return message;
}
#endif
