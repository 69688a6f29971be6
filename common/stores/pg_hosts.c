#include "common/stores/pg_hosts.h"

#include "common/base/alloc.h"
#include "common/base/clock.h"
#include "common/base/parse.h"

#include <assert.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define DEFAULT_PORT "5432" /* libpq's, when PGPORT is not set either */
#define HOST_LEN_MAX 255

/* One element of the lists. */
struct server {
    char *host; /* "" and NULL: libpq's default */
    char *hostaddr;
    char *port;
};

struct pg_hosts {
    struct server *servers;
    size_t count;
    bool is_shuffled;
    unsigned seed;
    size_t last; /* the server reached last, and its address */
    char last_address[PG_HOSTS_ADDRESS_SIZE];
};

/* --- lists ------------------------------------------------------------------------------------ */

static bool is_empty(const char *text)
{
    return text == NULL || *text == '\0';
}

static size_t list_count(const char *list)
{
    size_t count = 1;

    if (is_empty(list)) {
        return 0;
    }
    for (; (list = strchr(list, ',')) != NULL; list++) {
        count++;
    }
    return count;
}

/* A copy of element i; of a list with one element, that one. NULL when there is none. */
static char *list_copy(const char *list, size_t i)
{
    size_t count = list_count(list);

    if (count == 0) {
        return NULL;
    }
    assert(i < count || count == 1);
    for (size_t at = 0; at < (count == 1 ? 0 : i); at++) {
        list = strchr(list, ',') + 1;
    }
    return strndup(list, strcspn(list, ","));
}

struct pg_hosts *pg_hosts_create(const char *hosts, const char *hostaddrs, const char *ports,
                                 bool is_shuffled)
{
    struct pg_hosts *list = fs_calloc(1, sizeof(*list));

    list->count = list_count(is_empty(hostaddrs) ? hosts : hostaddrs);
    list->count = list->count == 0 ? 1 : list->count;
    list->servers = fs_calloc(list->count, sizeof(*list->servers));
    list->is_shuffled = is_shuffled;
    list->seed = (unsigned)clock_wall_us();
    for (size_t i = 0; i < list->count; i++) {
        list->servers[i] = (struct server){.host = list_copy(hosts, i),
                                           .hostaddr = list_copy(hostaddrs, i),
                                           .port = list_copy(ports, i)};
    }
    return list;
}

void pg_hosts_destroy(struct pg_hosts *hosts)
{
    if (hosts == NULL) {
        return;
    }
    for (size_t i = 0; i < hosts->count; i++) {
        free(hosts->servers[i].host);
        free(hosts->servers[i].hostaddr);
        free(hosts->servers[i].port);
    }
    free(hosts->servers);
    free(hosts);
}

/* --- checks ----------------------------------------------------------------------------------- */

static bool is_numeric(const char *address)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    bool is_good = getaddrinfo(address, NULL, &hints, &found) == 0;

    if (is_good) {
        freeaddrinfo(found);
    }
    return is_good;
}

/* A name of the DNS (with '_', which Docker and others allow), an address, or an absolute path. */
static bool host_is_valid(const char *host)
{
    static const char name_chars[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        "-_.";

    if (*host == '\0' || *host == '/') {
        return true;
    }
    if (strchr(host, ':') != NULL) {
        return is_numeric(host);
    }
    return strlen(host) <= HOST_LEN_MAX && host[strspn(host, name_chars)] == '\0';
}

static bool hostaddr_is_valid(const char *address)
{
    return *address == '\0' || is_numeric(address);
}

static bool port_is_valid(const char *port)
{
    int64_t number;

    return *port == '\0' || parse_int(port, strlen(port), 1, 65535, &number);
}

/* Whether `is_valid` holds for each element of the list. */
static bool list_is_valid(const char *list, bool (*is_valid)(const char *), const char *complaint,
                          char *ret_why, size_t why_size)
{
    for (size_t i = 0; i < list_count(list); i++) {
        char *element = list_copy(list, i);
        bool is_good = is_valid(element);

        if (!is_good) {
            snprintf(ret_why, why_size, "'%.80s' %s", element, complaint);
        }
        free(element);
        if (!is_good) {
            return false;
        }
    }
    return true;
}

bool pg_hosts_check(const char *hosts, const char *hostaddrs, const char *ports, char *ret_why,
                    size_t why_size)
{
    size_t host_count = list_count(hosts);
    size_t address_count = list_count(hostaddrs);
    size_t count = address_count > 0 ? address_count : host_count;
    size_t port_count = list_count(ports);

    if (host_count > 0 && address_count > 0 && host_count != address_count) {
        snprintf(ret_why, why_size, "%zu hosts, but %zu addresses (hostaddr)", host_count,
                 address_count);
        return false;
    }
    if (port_count > 1 && port_count != count) {
        snprintf(ret_why, why_size, "%zu ports for %zu hosts", port_count, count);
        return false;
    }
    return list_is_valid(hosts, host_is_valid, "is no host", ret_why, why_size) &&
           list_is_valid(hostaddrs, hostaddr_is_valid, "is no address", ret_why, why_size) &&
           list_is_valid(ports, port_is_valid, "is no port (1 to 65535)", ret_why, why_size);
}

/* --- trying ----------------------------------------------------------------------------------- */

/* Puts 0 .. count-1 into `order`: shuffled, or `first` in front of the others. */
static void make_order(struct pg_hosts *hosts, size_t *order, size_t count, size_t first)
{
    for (size_t i = 0; i < count; i++) {
        order[i] = i;
    }
    if (!hosts->is_shuffled && first < count) {
        memmove(order + 1, order, first * sizeof(*order));
        order[0] = first;
    }
    for (size_t left = hosts->is_shuffled ? count : 0; left > 1; left--) {
        size_t other = (size_t)rand_r(&hosts->seed) % left;
        size_t moved = order[left - 1];

        order[left - 1] = order[other];
        order[other] = moved;
    }
}

/* The addresses of a name as text; on failure 0, with *ret_error. */
static size_t resolve(const struct server *server, char out[][PG_HOSTS_ADDRESS_SIZE],
                      const char **ret_error)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int failure = getaddrinfo(server->host, is_empty(server->port) ? DEFAULT_PORT : server->port,
                              &hints, &found);
    size_t count = 0;

    for (const struct addrinfo *a = found; a != NULL && count < PG_HOSTS_ADDRESSES_MAX;
         a = a->ai_next) {
        failure = getnameinfo(a->ai_addr, a->ai_addrlen, out[count], PG_HOSTS_ADDRESS_SIZE, NULL, 0,
                              NI_NUMERICHOST);
        count += failure == 0;
    }
    if (found != NULL) {
        freeaddrinfo(found);
    }
    *ret_error = failure == 0 ? "it has no address" : gai_strerror(failure);
    return count;
}

/* What is under way in pg_hosts_try. */
struct round {
    struct pg_hosts *hosts;
    bool (*attempt)(void *arg, const struct pg_address *one);
    void (*tell)(void *arg, const char *host, const char *error);
    void *arg;
};

static bool try_address(const struct round *round, size_t i, const char *hostaddr)
{
    const struct server *server = &round->hosts->servers[i];
    struct pg_address one = {.host = is_empty(server->host) ? NULL : server->host,
                             .port = is_empty(server->port) ? NULL : server->port,
                             .hostaddr = is_empty(hostaddr) ? NULL : hostaddr};

    if (!round->attempt(round->arg, &one)) {
        return false;
    }
    round->hosts->last = i;
    snprintf(round->hosts->last_address, PG_HOSTS_ADDRESS_SIZE, "%s",
             hostaddr == NULL ? "" : hostaddr);
    return true;
}

static bool try_name(const struct round *round, size_t i)
{
    const struct server *server = &round->hosts->servers[i];
    char addresses[PG_HOSTS_ADDRESSES_MAX][PG_HOSTS_ADDRESS_SIZE];
    size_t order[PG_HOSTS_ADDRESSES_MAX];
    const char *error;
    size_t count = resolve(server, addresses, &error);
    size_t first = 0;

    if (count == 0) {
        round->tell(round->arg, server->host, error);
    }
    while (first < count && strcmp(addresses[first], round->hosts->last_address) != 0) {
        first++;
    }
    make_order(round->hosts, order, count, first);
    for (size_t at = 0; at < count; at++) {
        if (try_address(round, i, addresses[order[at]])) {
            return true;
        }
    }
    return false;
}

bool pg_hosts_try(struct pg_hosts *hosts, bool (*attempt)(void *arg, const struct pg_address *one),
                  void (*tell)(void *arg, const char *host, const char *error), void *arg)
{
    const struct round round = {hosts, attempt, tell, arg};
    size_t *order = fs_calloc(hosts->count, sizeof(*order));
    bool is_done = false;

    make_order(hosts, order, hosts->count, hosts->last);
    for (size_t at = 0; at < hosts->count && !is_done; at++) {
        const struct server *server = &hosts->servers[order[at]];
        bool is_name =
            is_empty(server->hostaddr) && !is_empty(server->host) && *server->host != '/';

        is_done = is_name ? try_name(&round, order[at])
                          : try_address(&round, order[at], server->hostaddr);
    }
    free(order);
    return is_done;
}
