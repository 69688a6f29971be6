#include "common/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *memory)
{
    if (memory == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *fs_calloc(size_t count, size_t size)
{
    return checked(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

void *fs_calloc_aligned(size_t alignment, size_t size)
{
    size_t whole = (size + alignment - 1) / alignment * alignment;

    return memset(checked(aligned_alloc(alignment, whole)), 0, whole);
}

void *fs_realloc(void *memory, size_t size)
{
    return checked(realloc(memory, size > 0 ? size : 1));
}

char *fs_strdup(const char *text)
{
    return text == NULL ? NULL : checked(strdup(text));
}
