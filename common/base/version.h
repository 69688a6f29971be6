/* The version that runs, as CMakeLists.txt names it, and the commit it was built from. */
#ifndef FASTSTOCK_COMMON_BASE_VERSION_H
#define FASTSTOCK_COMMON_BASE_VERSION_H

const char *version_number(void);
const char *version_commit(void);

#endif
