package main

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A fault is something that breaks, and is whole again when the function returns or heals.
type fault struct {
	name   string
	weight int
	// loosens: while it lasts, and some seconds after, a read may be older than the last
	// acknowledged change, because Redis cannot be told of it.
	loosens bool
	run     func(random *rand.Rand) error
}

const looseAfter = int64(4 * time.Second)

// inject breaks one thing after the other until it is told to stop; then all is made whole.
func (r *run) inject(number int, stop chan bool) error {
	random := rand.New(rand.NewSource(r.seed + int64(number)))
	faults := r.place.faults()
	for {
		select {
		case <-stop:
			return r.place.heal()
		case <-time.After(time.Duration(300+random.Intn(1500)) * time.Millisecond):
		}
		fault := choose(faults, random)
		if err := r.apply(fault, random); err != nil {
			return fmt.Errorf("%s: %w", fault.name, err)
		}
	}
}

func choose(faults []fault, random *rand.Rand) fault {
	total := 0
	for _, f := range faults {
		total += f.weight
	}
	number := random.Intn(total)
	for _, f := range faults {
		if number -= f.weight; number < 0 {
			return f
		}
	}
	panic("unreachable")
}

func (r *run) apply(f fault, random *rand.Rand) error {
	w := Window{From: r.now(), What: f.name}
	r.mutex.Lock()
	r.stats.Faults[f.name]++
	r.mutex.Unlock()
	if f.loosens { // it is open until the fault is over
		r.mutex.Lock()
		r.loose = append(r.loose, Window{w.From, 1 << 62, f.name})
		r.mutex.Unlock()
	}
	err := f.run(random)
	w.To = r.now()
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.faults = append(r.faults, w)
	if f.loosens {
		r.loose[len(r.loose)-1].To = w.To + looseAfter
	}
	return err
}

// -- the local stack

type localStack struct {
	run     *run
	stack   *stack
	writers []*service
	proxies []*proxy
}

func (s *stack) folder() string {
	folder := os.Getenv("FASTSTOCK_RUN_DIR")
	if folder == "" {
		folder = ".run"
	}
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(s.root, folder)
	}
	return filepath.Join(folder, "faults")
}

func withAddress(url, address string) string {
	at := strings.Index(url, "@")
	slash := strings.Index(url[at:], "/") + at
	return url[:at+1] + address + url[slash:]
}

func addressOf(url string) string {
	at := strings.Index(url, "@")
	return url[at+1 : strings.Index(url[at:], "/")+at]
}

// program gives the path of a service, e.g. of write-svc.
func (s *stack) program(name string) string {
	if path := s.programs[name]; path != "" {
		return path
	}
	preset := os.Getenv("FASTSTOCK_PRESET")
	if preset == "" {
		preset = "release"
	}
	return filepath.Join(s.root, "build", preset, name, name)
}

// unmark: the edge sends nothing to a writer that left by ./dev stop.
func (s *stack) unmark(name string) {
	_ = os.Remove(filepath.Join(filepath.Dir(s.folder()), "pid", name+".leaving"))
}

func (s *stack) newService(name string, env ...string) *service {
	kind := name[:strings.Index(name, "-")]
	number := int(name[len(name)-1] - '1')
	config := filepath.Join(filepath.Dir(s.folder()), "conf", name+".yaml")
	ops := strings.Split(s.env[strings.ToUpper(kind)+"_OPS_URLS"], ",")[number]
	return &service{
		name: name, command: []string{s.program(kind + "-svc"), "--config", config}, ops: ops,
		log: filepath.Join(s.folder(), name+".log"), env: env,
	}
}

// newLocalStack puts our write-svc, behind proxies, in the place of the stack's own.
func newLocalStack(r *run) (*localStack, error) {
	l := &localStack{run: r, stack: r.stack}
	if err := os.MkdirAll(r.stack.folder(), 0o755); err != nil {
		return nil, err
	}
	if _, err := r.stack.dev("stop", "write-1", "write-2"); err != nil {
		return nil, err
	}
	env := r.stack.env
	for i := 1; i <= 2; i++ {
		p, err := newProxy(addressOf(env["DATABASE_URL"]), r.seed+int64(i))
		if err != nil {
			return nil, err
		}
		l.proxies = append(l.proxies, p)
		l.writers = append(l.writers, r.stack.newService(fmt.Sprintf("write-%d", i),
			"DATABASE_URL="+withAddress(env["DATABASE_URL"], p.address()),
			"DIRECT_URL="+env["DIRECT_URL"], "REDIS_URL="+env["REDIS_URL"]))
	}
	for _, w := range l.writers {
		if err := w.start(); err != nil {
			return nil, err
		}
	}
	for _, w := range l.writers {
		r.stack.unmark(w.name)
	}
	if err := l.heal(); err != nil {
		_ = l.restore()
		return nil, err
	}
	return l, nil
}

func (l *localStack) sql() string { return l.stack.env["DIRECT_URL"] }

func seconds(random *rand.Rand, from, to float64) time.Duration {
	return time.Duration((from + random.Float64()*(to-from)) * float64(time.Second))
}

func (l *localStack) faults() []fault {
	list := []fault{
		{"kill -9 write-svc", 5, false, l.killWriter},
		{"kill -9 both write-svc", 1, false, func(random *rand.Rand) error {
			return l.killWriters(random, l.writers)
		}},
		{"freeze write-svc", 2, false, func(random *rand.Rand) error {
			return freezeFor(l.writers[random.Intn(2)], seconds(random, 0.5, 3))
		}},
		{"end PostgreSQL sessions", 2, false, l.endSessions},
	}
	list = append(list, l.faultsOfStores(2)...)
	for what := cutBefore; what < cuts; what++ {
		what := what
		list = append(list, fault{"cut: " + cutNames[what], 4, false, func(random *rand.Rand) error {
			return cutFor(random, l.proxies, what)
		}})
	}
	return append(list, fault{"cuts and a kill -9 of write-svc", 2, false,
		func(random *rand.Rand) error {
			armAll(l.proxies, cutAnswer, 100, 50)
			defer armAll(l.proxies, noCut, 0, 0)
			return l.killWriter(random)
		}})
}

// faultsOfStores gives the faults of each store; a crash is chosen with this weight.
func (l *localStack) faultsOfStores(crash int) []fault {
	var list []fault
	for _, name := range []string{"pgbouncer", "postgres", "redis"} {
		name := name
		list = append(list,
			fault{"kill -9 " + name, crash, name == "redis", func(random *rand.Rand) error {
				return l.killStore(random, name)
			}},
			fault{"freeze " + name, 2, name == "redis", func(random *rand.Rand) error {
				return l.freezeStore(random, name)
			}})
	}
	return list
}

func (l *localStack) endSessions(*rand.Rand) error {
	return execute(l.sql(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`)
}

func armAll(proxies []*proxy, what cut, count, share int) {
	for _, p := range proxies {
		p.arm(what, count, share)
	}
}

// cutFor breaks a part of all writes for a while.
func cutFor(random *rand.Rand, proxies []*proxy, what cut) error {
	armAll(proxies, what, 1000, 5+random.Intn(40))
	time.Sleep(seconds(random, 0.5, 2.5))
	armAll(proxies, noCut, 0, 0)
	return nil
}

func (l *localStack) killWriter(random *rand.Rand) error {
	return l.killWriters(random, l.writers[random.Intn(2):][:1])
}

func (l *localStack) killWriters(random *rand.Rand, writers []*service) error {
	for _, w := range writers {
		w.kill()
	}
	time.Sleep(seconds(random, 0, 1.5))
	for _, w := range writers {
		if err := w.start(); err != nil {
			return err
		}
	}
	for _, w := range writers {
		if err := w.waitReady(30 * time.Second); err != nil {
			return err
		}
	}
	return nil
}

func (l *localStack) killStore(random *rand.Rand, name string) error {
	if _, err := l.stack.dev("stop", "--now", name); err != nil {
		return err
	}
	time.Sleep(seconds(random, 0, 2))
	_, err := l.stack.dev("start", name)
	return err
}

func (l *localStack) freezeStore(random *rand.Rand, name string) error {
	pid, err := l.stack.pid(name)
	if err != nil {
		return err
	}
	thaw := freeze(pid)
	time.Sleep(seconds(random, 0.3, 4))
	thaw()
	return nil
}

func (l *localStack) cutters() []*proxy { return l.proxies }

// heal waits until every service is on good terms with each of its stores.
func (l *localStack) heal() error {
	armAll(l.proxies, noCut, 0, 0)
	return waitWhole(l.stack, l.writers)
}

func waitWhole(s *stack, writers []*service) error {
	for _, w := range writers {
		if err := w.waitReady(60 * time.Second); err != nil {
			return err
		}
	}
	for _, url := range strings.Split(s.env["READ_OPS_URLS"], ",") {
		url := url
		err := eventually(60*time.Second, url+" is ready", func() bool { return isOK(url + "/readyz") })
		if err != nil {
			return err
		}
	}
	return nil
}

// restore ends our services, and starts the stack's own again.
func (l *localStack) restore() error {
	for _, w := range l.writers {
		w.kill()
	}
	for _, p := range l.proxies {
		p.close()
	}
	_, err := l.stack.dev("start", "postgres", "redis", "pgbouncer", "write-1", "write-2")
	return err
}
