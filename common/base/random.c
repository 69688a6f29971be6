#include "common/base/random.h"

#include "common/base/clock.h"

#include <sys/random.h>
#include <sys/types.h>

/* splitmix64 (Steele et al. 2014) */
uint64_t random_bits(void)
{
    static _Thread_local uint64_t state;
    uint64_t z;

    if (state == 0 && getrandom(&state, sizeof(state), 0) != (ssize_t)sizeof(state)) {
        state = (uint64_t)clock_wall_us() ^ (uint64_t)(uintptr_t)&state;
    }
    z = state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

void random_hex(char out[RANDOM_HEX_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t value = random_bits();

    for (int i = RANDOM_HEX_SIZE - 2; i >= 0; i--, value >>= 4) {
        out[i] = digits[value & 15];
    }
    out[RANDOM_HEX_SIZE - 1] = '\0';
}
