#include "write-svc/auth.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define LOOK_EVERY_S 1

struct auth {
    char *path;           /* "": every client may write */
    pthread_mutex_t lock; /* guards all below */
    char **tokens;
    size_t count;
    struct stat file; /* as it was when it was looked at last */
    int64_t looked_us;
};

static void refresh_locked(struct auth *auth);

struct auth *auth_create(const char *path)
{
    struct auth *auth = fs_calloc(1, sizeof(*auth));

    auth->path = fs_strdup(path);
    pthread_mutex_init(&auth->lock, NULL);
    if (*path == '\0') {
        return auth;
    }
    pthread_mutex_lock(&auth->lock);
    refresh_locked(auth);
    pthread_mutex_unlock(&auth->lock);
    if (auth->count == 0) {
        auth_destroy(auth);
        return NULL;
    }
    return auth;
}

static void free_tokens(char **tokens, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(tokens[i]);
    }
    free(tokens);
}

void auth_destroy(struct auth *auth)
{
    if (auth == NULL) {
        return;
    }
    free_tokens(auth->tokens, auth->count);
    pthread_mutex_destroy(&auth->lock);
    free(auth->path);
    free(auth);
}

/* --- the file --------------------------------------------------------------------------------- */

/* The tokens of a file: lines without the blanks around them; empty ones and those with '#' in
 * front are left out. */
static char **read_tokens(FILE *file, size_t *ret_count)
{
    char **tokens = NULL;
    char *line = NULL;
    size_t size = 0;
    ssize_t len;

    *ret_count = 0;
    while ((len = getline(&line, &size, file)) >= 0) {
        char *start = line + strspn(line, " \t\r\n");

        while (len > 0 && strchr(" \t\r\n", line[len - 1]) != NULL) {
            line[--len] = '\0';
        }
        if (*start != '\0' && *start != '#') {
            tokens = fs_realloc(tokens, (*ret_count + 1) * sizeof(*tokens));
            tokens[(*ret_count)++] = fs_strdup(start);
        }
    }
    free(line);
    return tokens;
}

/* The same, and unchanged since. */
static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* The file has changed: its tokens are taken over, if there are any. */
static void take_tokens_locked(struct auth *auth, char **tokens, size_t count, const char *why_none)
{
    if (count > 0) {
        free_tokens(auth->tokens, auth->count);
        auth->tokens = tokens;
        auth->count = count;
        log_info(log_msg("tokens read"), log_str("file", auth->path),
                 log_int("tokens", (int64_t)count));
    } else if (auth->count > 0) {
        log_warn(log_msg("no token to be had from auth.tokens_file: those read before stay valid"),
                 log_str("file", auth->path), log_str("error", why_none),
                 log_int("tokens", (int64_t)auth->count));
    } else {
        log_error(log_msg("no token to be had from auth.tokens_file"), log_str("file", auth->path),
                  log_str("error", why_none));
    }
}

/* Looks at the file; acts, and logs, each time that it has changed, or that it came or went. */
static void refresh_locked(struct auth *auth)
{
    struct stat info = {.st_size = -1}; /* of no file */
    FILE *file = fopen(auth->path, "re");
    const char *why_none = file == NULL ? strerror(errno) : "it holds none";
    char **tokens = NULL;
    size_t count = 0;

    if (file != NULL) {
        fstat(fileno(file), &info); /* before reading, so that a later write shows the next time */
    }
    if (!same_file(&info, &auth->file)) {
        if (file != NULL) {
            tokens = read_tokens(file, &count);
        }
        take_tokens_locked(auth, tokens, count, why_none);
        auth->file = info;
    }
    if (file != NULL) {
        fclose(file);
    }
}

/* --- tokens ----------------------------------------------------------------------------------- */

/* Are both equal? Takes a time that depends on the length of `sent` alone, so that a client cannot
 * find out a token byte by byte. */
static bool same_text(const char *known, const char *sent)
{
    size_t known_len = strlen(known);
    size_t sent_len = strlen(sent);
    unsigned char difference = known_len != sent_len;

    for (size_t i = 0; i < sent_len; i++) {
        difference |= (unsigned char)(sent[i] ^ known[known_len == 0 ? 0 : i % known_len]);
    }
    return difference == 0;
}

bool auth_allows(struct auth *auth, const char *authorization)
{
    const char *token = authorization;
    bool allowed = false;

    if (auth->path[0] == '\0') {
        return true;
    }
    if (token == NULL || strncasecmp(token, "Bearer ", 7) != 0) {
        return false;
    }
    token += 7;
    token += strspn(token, " ");
    pthread_mutex_lock(&auth->lock);
    if (clock_mono_us() - auth->looked_us >= LOOK_EVERY_S * CLOCK_US_PER_S) {
        refresh_locked(auth);
        auth->looked_us = clock_mono_us();
    }
    for (size_t i = 0; i < auth->count; i++) {
        allowed = same_text(auth->tokens[i], token) || allowed;
    }
    pthread_mutex_unlock(&auth->lock);
    return allowed;
}
