package main

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A readStack is the local stack with our read-svc and write-svc in place of its own, each of which
// reaches each store through a pipe.
type readStack struct {
	localStack
	readers []*service
	pipes   map[string]*pipe // by "read-1 REDIS_URL"
}

var storeURLs = []string{"DATABASE_URL", "DIRECT_URL", "REDIS_URL"}

func newReadStack(r *run) (*readStack, error) {
	s := &readStack{localStack: localStack{run: r, stack: r.stack}, pipes: map[string]*pipe{}}
	err := s.build()
	if err == nil {
		return s, nil
	}
	_ = s.restore()
	return nil, err
}

func (s *readStack) build() error {
	if err := os.MkdirAll(s.stack.folder(), 0o755); err != nil {
		return err
	}
	names := []string{"read-1", "read-2", "write-1", "write-2"}
	if _, err := s.stack.dev(append([]string{"stop"}, names...)...); err != nil {
		return err
	}
	for _, name := range names {
		var env []string
		for _, variable := range storeURLs {
			url := s.stack.env[variable]
			p, err := newPipe(addressOf(url))
			if err != nil {
				return err
			}
			s.pipes[name+" "+variable] = p
			env = append(env, variable+"="+withAddress(url, p.address()))
		}
		service := s.stack.newService(name, env...)
		if strings.HasPrefix(name, "read") {
			s.readers = append(s.readers, service)
		} else {
			s.writers = append(s.writers, service)
		}
	}
	for _, service := range s.services() {
		if err := service.start(); err != nil {
			return err
		}
		s.stack.unmark(service.name)
	}
	return s.heal()
}

func (s *readStack) services() []*service {
	return append(append([]*service{}, s.readers...), s.writers...)
}

func (s *readStack) heal() error {
	for _, p := range s.pipes {
		p.set(flowing, 0)
	}
	for _, service := range s.services() {
		if err := service.waitReady(60 * time.Second); err != nil {
			return err
		}
	}
	return nil
}

func (s *readStack) restore() error {
	for _, service := range s.services() {
		service.kill()
	}
	for _, p := range s.pipes {
		p.close()
	}
	_, err := s.stack.dev("start", "postgres", "redis", "pgbouncer", "read-1", "read-2", "write-1",
		"write-2")
	return err
}

// -- faults

func (s *readStack) faults() []fault {
	list := append(s.faultsOfServices(), s.faultsOfLinks()...)
	list = append(list, s.faultsInRedis()...)
	list = append(list, s.faultsOfStores(1)...)
	return append(list, fault{"end PostgreSQL sessions", 1, false, s.endSessions})
}

func (s *readStack) faultsOfServices() []fault {
	return []fault{
		{"kill -9 write-svc", 2, false, s.killWriter},
		{"kill -9 read-svc", 2, false, func(random *rand.Rand) error {
			return s.killWriters(random, s.readers[random.Intn(2):][:1])
		}},
		{"restart read-svc", 1, false, func(random *rand.Rand) error {
			return s.readers[random.Intn(2)].restart()
		}},
		{"freeze read-svc", 3, false, func(random *rand.Rand) error {
			return freezeFor(s.readers[random.Intn(2)], seconds(random, 0.5, 5))
		}},
		{"freeze write-svc", 2, false, func(random *rand.Rand) error {
			return freezeFor(s.writers[random.Intn(2)], seconds(random, 0.5, 5))
		}},
		{"freeze the relay", 2, false, func(random *rand.Rand) error {
			return freezeFor(s.relay(), seconds(random, 2, 7))
		}},
	}
}

func freezeFor(service *service, time_ time.Duration) error {
	thaw := freeze(service.process.Process.Pid)
	time.Sleep(time_)
	thaw()
	return nil
}

// relay gives the write-svc that holds the relay's lock; the first when none says so.
func (s *readStack) relay() *service {
	for _, w := range s.writers {
		if strings.Contains(textOf(w.ops+"/metrics"), "\nfaststock_relay_active 1\n") {
			return w
		}
	}
	return s.writers[0]
}

// links gives the pipes of the services whose name begins so, to the stores of these URLs.
func (s *readStack) links(prefix string, variables ...string) []*pipe {
	var list []*pipe
	for _, service := range s.services() {
		for _, variable := range variables {
			if strings.HasPrefix(service.name, prefix) {
				list = append(list, s.pipes[service.name+" "+variable])
			}
		}
	}
	return list
}

func (s *readStack) faultsOfLinks() []fault {
	const redis, pooled, direct = "REDIS_URL", "DATABASE_URL", "DIRECT_URL"
	one := func(kind string, random *rand.Rand) string {
		return fmt.Sprintf("%s-%d", kind, 1+random.Intn(2))
	}
	cut := func(from, to float64, links func(random *rand.Rand) []*pipe) func(*rand.Rand) error {
		return func(random *rand.Rand) error {
			return breakFor(links(random), []flow{stuck, torn}[random.Intn(2)],
				0, seconds(random, from, to))
		}
	}
	return []fault{
		{"writers cut from Redis", 5, true, cut(3, 9, func(random *rand.Rand) []*pipe {
			return s.links("write", redis)
		})},
		{"a writer cut from Redis", 3, true, cut(1, 6, func(random *rand.Rand) []*pipe {
			return s.links(one("write", random), redis)
		})},
		{"a reader cut from Redis", 2, false, cut(1, 6, func(random *rand.Rand) []*pipe {
			return s.links(one("read", random), redis)
		})},
		{"a reader cut from PostgreSQL", 4, false, cut(1, 8, func(random *rand.Rand) []*pipe {
			return s.links(one("read", random), pooled, direct)
		})},
		{"readers cut from PostgreSQL", 2, false, cut(1, 6, func(random *rand.Rand) []*pipe {
			return s.links("read", pooled, direct)
		})},
		{"a reader cut from all", 2, false, cut(1, 6, func(random *rand.Rand) []*pipe {
			return s.links(one("read", random), pooled, direct, redis)
		})},
		{"writers cut from PostgreSQL", 1, false, cut(1, 4, func(random *rand.Rand) []*pipe {
			return s.links("write", pooled, direct)
		})},
		{"writers cut from Redis, a reader from PostgreSQL", 3, true,
			cut(3, 8, func(random *rand.Rand) []*pipe {
				return append(s.links("write", redis), s.links(one("read", random), pooled, direct)...)
			})},
		{"writers cut from Redis, readers from PostgreSQL", 2, true,
			cut(3, 8, func(random *rand.Rand) []*pipe {
				return append(s.links("write", redis), s.links("read", pooled, direct)...)
			})},
		{"late commits, writers cut from Redis", 3, true, s.commitLate},
		{"slow links", 4, true, func(random *rand.Rand) error {
			links := s.links([]string{"read", "write", ""}[random.Intn(3)],
				[][]string{{redis}, {pooled, direct}, {redis, pooled, direct}}[random.Intn(3)]...)
			return breakFor(links, flowing, seconds(random, 0.02, 0.7), seconds(random, 1, 5))
		}},
	}
}

// commitLate changes products by transactions that commit long after others which began later.
// Redis does not hear of writes meanwhile, so readers know of these changes from the ledger alone.
func (s *readStack) commitLate(random *rand.Rand) error {
	links := s.links("write", "REDIS_URL")
	for _, p := range links {
		p.set(torn, 0)
	}
	defer func() {
		for _, p := range links {
			p.set(flowing, 0)
		}
	}()
	for until := time.Now().Add(seconds(random, 3, 6)); time.Now().Before(until); {
		s.run.shop.editSlowly(s.sql(), random)
	}
	return nil
}

// editSlowly changes the prices of some products in one transaction of PostgreSQL, or nothing, when
// it has to wait for one of them too long.
func (s *shop) editSlowly(url string, random *rand.Rand) {
	s.mutex.Lock()
	var ids []string
	for i := 0; i < 8; i++ {
		ids = append(ids, fmt.Sprint(s.products[hotProducts+random.Intn(coldProducts)].id))
	}
	s.mutex.Unlock()
	sent := s.run.now()
	var made []struct{ ID, Version int64 }
	_ = query(url, fmt.Sprintf(`WITH edited AS MATERIALIZED (SELECT (edit_product(id, NULL, %d)).*
		FROM (SELECT DISTINCT unnest(ARRAY[%s]::bigint[]) AS id ORDER BY id) AS chosen),
		late AS (SELECT pg_sleep(%f), count(*) FROM edited)
		SELECT id, version FROM edited, late`, 1+random.Intn(1000), strings.Join(ids, ","),
		seconds(random, 0.1, 0.6).Seconds()), &made)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, m := range made {
		s.writes = append(s.writes, &write{product: m.ID, isMade: true, change: Change{
			Version: m.Version, Kind: "edited", Sent: sent, Acked: s.run.now()}})
	}
}

func breakFor(links []*pipe, flow flow, delay, time_ time.Duration) error {
	for _, p := range links {
		p.set(flow, delay)
	}
	time.Sleep(time_)
	for _, p := range links {
		p.set(flowing, 0)
	}
	return nil
}

// -- in Redis

// inRedis calls a function with a client of Redis. A Redis that is away is no failure of the test.
func (s *readStack) inRedis(act func(redis *redisClient) error) error {
	redis, err := openRedis(s.stack.env["REDIS_URL"])
	if err != nil {
		return err
	}
	defer redis.close()
	return act(redis)
}

// again acts on Redis for a while.
func (s *readStack) again(random *rand.Rand, act func(redis *redisClient) error) error {
	return s.inRedis(func(redis *redisClient) error {
		for until := time.Now().Add(seconds(random, 0.5, 4)); time.Now().Before(until); {
			if err := act(redis); err != nil {
				return err
			}
			time.Sleep(20 * time.Millisecond)
		}
		return nil
	})
}

func (s *readStack) faultsInRedis() []fault {
	return []fault{
		{"FLUSHALL", 2, true, func(random *rand.Rand) error {
			return s.inRedis(func(redis *redisClient) error {
				_, err := redis.do("FLUSHALL")
				return err
			})
		}},
		{"changes trimmed", 2, false, func(random *rand.Rand) error {
			return s.again(random, trimChanges)
		}},
		{"guards evicted", 2, true, func(random *rand.Rand) error {
			return s.again(random, func(redis *redisClient) error {
				return forget(redis, "fs:*:g:*", ":g:0")
			})
		}},
		{"states evicted", 2, false, func(random *rand.Rand) error {
			return s.again(random, func(redis *redisClient) error {
				return forget(redis, "fs:*:p:*", "-")
			})
		}},
		{"older states put back", 5, true, s.putBack},
		{"Redis with an old dump", 2, true, s.oldDump},
	}
}

func trimChanges(redis *redisClient) error {
	keys, err := redis.keys("fs:*changes*")
	if err != nil {
		return err
	}
	for _, key := range keys {
		if _, err := redis.do("XTRIM", key, "MAXLEN", "0"); err != nil {
			return err
		}
	}
	return nil
}

// forget removes all keys of a pattern, except those that end so.
func forget(redis *redisClient, pattern, except string) error {
	keys, err := redis.keys(pattern)
	if err != nil {
		return err
	}
	words := []string{"DEL"}
	for _, key := range keys {
		if !strings.HasSuffix(key, except) {
			words = append(words, key)
		}
	}
	if len(words) > 1 {
		_, err = redis.do(words...)
	}
	return err
}

// putBack keeps the bytes of all states, and puts them back later, again and again: as a Redis does
// that has lost its last writes, but in the same generation. Half of the time without the guards.
func (s *readStack) putBack(random *rand.Rand) error {
	states := map[string]string{}
	if err := s.inRedis(func(redis *redisClient) error {
		keys, err := redis.keys("fs:*:p:*")
		if err != nil {
			return err
		}
		for _, key := range keys {
			if reply, err := redis.do("GET", key); err != nil {
				return err
			} else if state, isThere := reply.(string); isThere {
				states[key] = state
			}
		}
		return nil
	}); err != nil {
		return err
	}
	time.Sleep(seconds(random, 0.5, 3))
	isGuardless := random.Intn(2) == 0
	return s.again(random, func(redis *redisClient) error {
		if isGuardless {
			if err := forget(redis, "fs:*:g:*", ":g:0"); err != nil {
				return err
			}
		}
		for key, state := range states {
			if _, err := redis.do("SET", key, state, "PX", "60000"); err != nil {
				return err
			}
		}
		return nil
	})
}

// oldDump lets Redis come back with data that it had a while ago.
func (s *readStack) oldDump(random *rand.Rand) error {
	dump := filepath.Join(filepath.Dir(s.stack.folder()), "data", "redis", "dump.rdb")
	if err := s.inRedis(func(redis *redisClient) error {
		_, err := redis.do("SAVE")
		return err
	}); err != nil {
		return err
	}
	defer os.Remove(dump) // else a later restart would load it
	time.Sleep(seconds(random, 0.5, 3))
	return s.killStore(random, "redis")
}

// -- the services

func (s *service) restart() error {
	_ = s.process.Process.Signal(syscall.SIGTERM)
	_ = s.process.Wait()
	s.process = nil
	if err := s.start(); err != nil {
		return err
	}
	return s.waitReady(30 * time.Second)
}
