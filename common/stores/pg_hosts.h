/* The servers of a PostgreSQL URL, and the order in which a connect tries them.
 *
 * libpq's own list of hosts serves blocking connects only: connect_timeout moves PQconnectdb on to
 * the next address, but PQconnectPoll has no such timer, and each PQconnectStart begins at the
 * first address again. With a first server that accepts and never answers, it would never reach the
 * second. So libpq is given one address at a time (`host` and `hostaddr`), each with its own
 * deadline, and this module says which.
 *
 *     postgresql://app@db1,db2:6432/stock        db1 -> 10.0.0.1, 10.0.0.2   db2 -> 10.0.0.7
 *
 *     tries   10.0.0.1:5432, 10.0.0.2:5432, 10.0.0.7:6432; the server that was reached last stands
 *             first, because it is most likely the right one again
 *
 * A name is asked for when its turn comes, each time, because a failover may work by DNS. Not
 * thread-safe: one thread connects, the maintainer of the pool. */
#ifndef FASTSTOCK_COMMON_STORES_PG_HOSTS_H
#define FASTSTOCK_COMMON_STORES_PG_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#define PG_HOSTS_ADDRESSES_MAX 16 /* of one name; further ones are not tried */
#define PG_HOSTS_ADDRESS_SIZE 80  /* an IPv6 address with its scope, and NUL */

/* One address to connect to, in the words of libpq. NULL: libpq's default. */
struct pg_address {
    const char *host; /* a name, an address, or the folder of a socket */
    const char *port;
    const char *hostaddr;
};

struct pg_hosts;

/* Lists as libpq has them, with commas between; NULL or "" for none. All are copied. With
 * `is_shuffled` (load_balance_hosts=random) each connect tries them in another order, and none
 * stands first. The lists must be valid, see pg_hosts_check. */
struct pg_hosts *pg_hosts_create(const char *hosts, const char *hostaddrs, const char *ports,
                                 bool is_shuffled);
void pg_hosts_destroy(struct pg_hosts *hosts); /* NULL is fine */

/* Can these lists be used? On false `ret_why` says what is wrong. */
bool pg_hosts_check(const char *hosts, const char *hostaddrs, const char *ports, char *ret_why,
                    size_t why_size);

/* Calls `attempt` for one address after the other until it returns true, and returns whether it
 * did. The address is lent for the call. When a name has no address, `tell` hears why. */
bool pg_hosts_try(struct pg_hosts *hosts, bool (*attempt)(void *arg, const struct pg_address *one),
                  void (*tell)(void *arg, const char *host, const char *error), void *arg);

#endif
