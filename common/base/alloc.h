/* Memory that exists, or the process ends: the services hold little and bounded memory, so that
 * being out of it is a fault of the machine, and half an answer would help no client. All functions
 * are thread-safe. */
#ifndef FASTSTOCK_COMMON_BASE_ALLOC_H
#define FASTSTOCK_COMMON_BASE_ALLOC_H

#include <stddef.h>

/* Zeroed memory, owned by the caller, to be freed with free(). Aborts when there is none. */
void *fs_calloc(size_t count, size_t size);

/* The processor's cache works in lines of so many bytes; two threads that write to one line slow
 * each other down. */
#define FS_CACHE_LINE 64

/* As fs_calloc, of one object that begins at a multiple of `alignment`, a power of two. */
void *fs_calloc_aligned(size_t alignment, size_t size);

/* Like realloc(3). Aborts when there is no memory. */
void *fs_realloc(void *memory, size_t size);

/* A copy of `text` (NULL gives NULL), owned by the caller. Aborts when there is no memory. */
char *fs_strdup(const char *text);

#define FS_ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* The struct of this type whose `member` the pointer points to. */
#define FS_CONTAINER_OF(pointer, type, member)                                                     \
    ((type *)(void *)(((char *)(pointer)) - offsetof(type, member)))

#endif
