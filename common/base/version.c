#include "common/base/version.h"

const char *version_number(void)
{
    return FASTSTOCK_VERSION;
}

const char *version_commit(void)
{
    return FASTSTOCK_COMMIT;
}
