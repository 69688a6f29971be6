/* Random bits that name things: requests, spans. Not for secrets. Thread-safe. */
#ifndef FASTSTOCK_COMMON_BASE_RANDOM_H
#define FASTSTOCK_COMMON_BASE_RANDOM_H

#include <stdint.h>

#define RANDOM_HEX_SIZE 17 /* 16 digits and NUL */

/* 64 bits, from a generator of this thread that the kernel seeded. */
uint64_t random_bits(void);

/* 64 bits as lower-case hexadecimal digits. */
void random_hex(char out[RANDOM_HEX_SIZE]);

#endif
