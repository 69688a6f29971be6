package main

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A run is rounds. Each has products of its own, in groups with a crew of clients each, and faults
// while the clients work; then all is made whole, the clients hear how their last operations ended,
// and the round's histories are checked while the next round runs.
type run struct {
	name   string
	seed   int64
	start  time.Time
	stack  *stack
	rounds int
	place  arena

	edge    target
	writers []target // the edge first
	readers []target

	checks sync.WaitGroup
	slots  chan bool // how many groups are checked at a time

	mutex    sync.Mutex
	stats    stats
	problems []string
	loose    []Window
	faults   []Window
	mayEdit  bool // clients change prices too
	shop     *shop
	// failovers in which commits may have been lost
	failovers []Failover
	kept      string // folder of what is kept of failures
}

// An arena is the system that a run is against: which faults it has, and where its truth is.
type arena interface {
	// sql is the URL of the PostgreSQL that is right now the primary.
	sql() string
	faults() []fault
	// heal ends all faults, and waits until the system is whole.
	heal() error
	// restore puts the stack's own services back.
	restore() error
	// cutters are the proxies, whose cuts are counted.
	cutters() []*proxy
}

type stats struct {
	Operations, Applied, Refused, Unknown, NotMade int
	Retries, Replays                               int
	Reads, LooseReads                              int
	Kinds                                          map[Kind]int
	Refusals                                       map[string]int
	ReadsFailed                                    map[string]int
	Faults                                         map[string]int
	Movements, Groups, Checks                      int
	latest                                         time.Duration // of an expiry behind its time
}

func newRun(s *stack, seed int64) *run {
	r := &run{
		name: fmt.Sprintf("f%d-%d", seed, time.Now().Unix()), seed: seed, start: time.Now(),
		stack: s, slots: make(chan bool, 1),
	}
	r.stats.Kinds, r.stats.Refusals = map[Kind]int{}, map[string]int{}
	r.stats.ReadsFailed, r.stats.Faults = map[string]int{}, map[string]int{}
	r.kept = filepath.Join(s.folder(), r.name)
	r.edge = target{"edge", s.env["EDGE_URL"]}
	r.writers, r.readers = []target{r.edge}, []target{r.edge}
	for i, url := range strings.Split(s.env["WRITE_URLS"], ",") {
		r.writers = append(r.writers, target{fmt.Sprintf("write-%d", i+1), url})
	}
	for i, url := range strings.Split(s.env["READ_URLS"], ",") {
		r.readers = append(r.readers, target{fmt.Sprintf("read-%d", i+1), url})
	}
	return r
}

func (r *run) now() int64 { return int64(time.Since(r.start)) }

func (r *run) at(t time.Time) int64 { return int64(t.Sub(r.start.Round(0))) }

// anyWriter: half of the requests go through the edge.
func (r *run) anyWriter(random *rand.Rand) target {
	if random.Intn(2) == 0 {
		return r.writers[0]
	}
	return r.writers[1+random.Intn(len(r.writers)-1)]
}

func (r *run) problem(format string, args ...interface{}) {
	text := fmt.Sprintf(format, args...)
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if len(r.problems) < 50 {
		fmt.Fprintln(os.Stderr, "PROBLEM:", text)
	}
	r.problems = append(r.problems, text)
}

func (r *run) count(op *Operation) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	s := &r.stats
	s.Kinds[op.Kind]++
	if op.Kind == Read {
		s.Reads++
		return
	}
	s.Operations++
	switch op.Outcome {
	case Applied:
		s.Applied++
	case Refused:
		s.Refused++
		s.Refusals[op.Refusal]++
	case Unknown:
		s.Unknown++
	case NotMade:
		s.NotMade++
	}
	s.Retries += len(op.Attempts) - 1
	for _, attempt := range op.Attempts {
		if attempt.Replayed {
			s.Replays++
		}
	}
}

func (r *run) countReadFailed(a answer) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	what := "no answer"
	if a.err == nil {
		what = fmt.Sprint(a.status)
	}
	if a.isStale() {
		what += " stale"
	}
	r.stats.ReadsFailed[what]++
}

// -- a round

const crews = 6

func (r *run) round(number int, length time.Duration) error {
	list := make([]*crew, crews)
	from := r.now()
	for i := range list {
		group := &Group{Name: fmt.Sprintf("%s/%d.%d", r.name, number, i+1)}
		if err := r.makeProducts(group, 1+(i+2)%groupMax, number*crews+i); err != nil {
			return err
		}
		list[i] = &crew{run: r, group: group}
	}
	stop := make(chan bool)
	done := make(chan error)
	go func() { done <- r.inject(number, stop) }()
	r.workOf(list, number, length, stop, done)
	if err := <-done; err != nil {
		return err
	}
	for _, crew := range list {
		if err := r.finish(crew, from); err != nil {
			return err
		}
	}
	return nil
}

// workOf lets the clients work, and ends the faults when most of their time is over, so that they
// can hear of their last operations.
func (r *run) workOf(list []*crew, number int, length time.Duration, stop chan bool,
	done chan error) {
	var clients sync.WaitGroup
	until := time.Now().Add(length)
	for i, crew := range list {
		for k := 0; k < clientsOfCrew; k++ {
			c := newClient(r, crew, k, r.seed+int64((number*crews+i)*clientsOfCrew+k))
			clients.Add(1)
			go func() {
				defer clients.Done()
				c.work(until)
			}()
		}
	}
	time.Sleep(length)
	close(stop)
	clients.Wait()
}

func (r *run) makeProducts(group *Group, count, salt int) error {
	random := rand.New(rand.NewSource(r.seed + int64(salt)))
	for i := 0; i < count; i++ {
		var made []struct{ ID int64 }
		stock := random.Intn(startStockMax)
		err := query(r.place.sql(), fmt.Sprintf("SELECT id FROM create_product('%s', 1.50, %d)",
			group.Name, stock), &made)
		if err != nil {
			return err
		}
		group.Products = append(group.Products, Start{made[0].ID, int64(stock)})
	}
	return nil
}

// finish reads how a group ended, by HTTP and in PostgreSQL, and has it checked.
func (r *run) finish(crew *crew, from int64) error {
	group := crew.group
	if err := r.readEnd(crew); err != nil {
		return err
	}
	for place := range group.Products {
		for i := range r.readers {
			c := newClient(r, crew, clientsOfCrew+i, 0)
			if op := c.read(place, r.readers[i:i+1]); op != nil {
				op.ID, op.Client = len(group.Ops), c.id
				group.Ops = append(group.Ops, op)
			} else {
				r.problem("%s: a read at the end failed", group.Name)
			}
		}
	}
	r.mutex.Lock()
	group.LooseReads = windowsSince(r.loose, from)
	group.Faults = windowsSince(r.faults, from)
	r.mutex.Unlock()
	r.checks.Add(1)
	go func() {
		defer r.checks.Done()
		r.slots <- true
		r.judge(group)
		<-r.slots
	}()
	return nil
}

// judge checks a group, and keeps it when it is wrong.
func (r *run) judge(group *Group) {
	problems := group.checkLedger()
	verdicts := group.checkHistory()
	for _, problem := range problems {
		r.problem("%s: %s", group.Name, problem)
	}
	file := filepath.Join(r.kept, strings.ReplaceAll(group.Name, "/", "-"))
	wrong := len(problems) > 0
	for _, v := range verdicts {
		if v.Problem == "" {
			continue
		}
		wrong = true
		_ = os.MkdirAll(r.kept, 0o755)
		page := fmt.Sprintf("%s-%s.html", file, v.What[strings.LastIndex(v.What, " ")+1:])
		if v.show != nil {
			if err := v.show(page); err != nil {
				page = err.Error()
			}
		}
		r.problem("%s %s: %s", v.What, v.Problem, page)
	}
	if wrong {
		_ = os.MkdirAll(r.kept, 0o755)
		if err := save(file+".json", group); err != nil {
			r.problem("%s", err)
		}
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.stats.Groups++
	r.stats.Checks += len(verdicts)
	r.stats.Movements += len(group.Ledger)
	for _, op := range group.Ops {
		if op.Kind == Read && group.isLoose(op) {
			r.stats.LooseReads++
		}
	}
}
