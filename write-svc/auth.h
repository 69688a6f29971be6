/* Who may write: bearer tokens (RFC 6750) from a file, one a line. Thread-safe. */
#ifndef FASTSTOCK_WRITE_SVC_AUTH_H
#define FASTSTOCK_WRITE_SVC_AUTH_H

#include <stdbool.h>

struct auth;

/* `path` "" means that everybody may write. NULL, with a message logged, when the file cannot be
 * read or holds no token. */
struct auth *auth_create(const char *path);
void auth_destroy(struct auth *auth); /* NULL is fine */

/* Is `authorization` (the header's value, or NULL) good? The file is looked at again at most once a
 * second. One that is not there or holds no token, as while somebody writes it, leaves the tokens
 * as they were: that must not lock everybody out. It is logged once for each change. Compares in
 * constant time. */
bool auth_allows(struct auth *auth, const char *authorization);

#endif
