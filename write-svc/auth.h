/* Which clients may write: those that send a bearer token (RFC 6750) of a file, which has one a
 * line. Thread-safe. */
#ifndef FASTSTOCK_WRITE_SVC_AUTH_H
#define FASTSTOCK_WRITE_SVC_AUTH_H

#include <stdbool.h>

struct auth;

/* With an empty `path` every client may write. NULL, with a message logged, when the file cannot be
 * read or holds no token. */
struct auth *auth_create(const char *path);
void auth_destroy(struct auth *auth); /* NULL is fine */

/* Does `authorization` (the header's value, or NULL) hold a token? The file is looked at again at
 * most once a second, and each change of it is logged once. A file that is away, or that holds no
 * token, leaves the tokens as they were, because it may be in the middle of being written, and no
 * client should be locked out by that. The time of the comparison tells nothing about the tokens.
 */
bool auth_allows(struct auth *auth, const char *authorization);

#endif
