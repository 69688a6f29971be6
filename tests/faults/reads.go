package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Tests of reads under faults: how old is each answer, judged by when changes were acknowledged?

type readTest struct {
	*run
	promise  Promise
	review   *review // of all rounds
	sights   int
	findings []*finding
}

func testReads(o options) (int, error) {
	s, err := openStack(o.root)
	if err != nil {
		return 0, err
	}
	s.programs = map[string]string{"read-svc": o.readSvc}
	t := &readTest{run: newRun(s, o.seed), review: newReview()}
	if t.promise, err = s.promise(); err != nil {
		return 0, err
	}
	fmt.Printf("faults: seed %d, %d s\n", o.seed, o.seconds)
	length := time.Duration(o.seconds) * time.Second
	alone := length * 3 / 4
	err = t.testIn(o, alone, func() (arena, error) { return newReadStack(t.run) }, t.round)
	if err == nil {
		err = t.testIn(o, length-alone, func() (arena, error) { return newPair(t.run, false) },
			t.round)
	}
	if t.sights == 0 {
		t.problem("no read was judged")
	}
	t.report()
	return len(t.problems), err
}

// promise reads the settings of read-svc.
func (s *stack) promise() (Promise, error) {
	p := Promise{Staleness: int64(2 * time.Second), IfError: int64(300 * time.Second),
		Listing: int64(time.Second), Slack: int64(50 * time.Millisecond)}
	service := s.newService("read-1", "DATABASE_URL="+s.env["DATABASE_URL"])
	text, err := service.output("--print-config")
	if err != nil {
		return p, err
	}
	for name, into := range map[string]*int64{"max_staleness_ms": &p.Staleness,
		"stale_if_error_ms": &p.IfError} {
		at := strings.Index(text, name)
		if at < 0 {
			continue
		}
		word := strings.Fields(strings.Trim(text[at+len(name):], ":= "))[0]
		ms, err := strconv.ParseInt(word, 10, 64)
		if err != nil {
			return p, err
		}
		*into = ms * int64(time.Millisecond)
	}
	return p, nil
}

// round lets clients of a new shop work while things break, and judges what they saw.
func (t *readTest) round(number int, length time.Duration) error {
	s := &shop{run: t.run, name: fmt.Sprintf("%s/%d", t.name, number), byID: map[int64]*ware{},
		isPlain: (t.seed+int64(number))%2 == 0}
	t.shop = s
	from := t.now()
	if err := s.open(); err != nil {
		return err
	}
	stop, done := make(chan bool), make(chan error)
	go func() { done <- t.inject(number, stop) }()
	s.work(number, length, stop)
	if err := <-done; err != nil {
		return err
	}
	s.readAll(t.promise)
	if err := s.close(); err != nil {
		return err
	}
	t.judge(s, from)
	return nil
}

// open makes the products.
func (s *shop) open() error {
	_, isPair := s.run.place.(selected).arena.(*pair)
	s.run.mayEdit = !isPair // an edit that is lost cannot be told from another one
	sent := s.run.now()
	var made []struct{ ID, Stock int64 }
	err := query(s.run.place.sql(), fmt.Sprintf(`SELECT p.id, p.stock FROM generate_series(1, %d) AS n,
		create_product('%s', 1.50, n) AS p ORDER BY n`, hotProducts+coldProducts, s.name), &made)
	if err != nil {
		return err
	}
	for _, m := range made {
		s.add(&ware{id: m.ID, stock: m.Stock, sent: sent, acked: s.run.now(), version: 1})
	}
	return nil
}

func (s *shop) work(number int, length time.Duration, stop chan bool) {
	var clients sync.WaitGroup
	until := time.Now().Add(length)
	for i := 0; i < shopWriters+shopReaders; i++ {
		v := newVisitor(s, i, s.run.seed+int64(number*(shopWriters+shopReaders)+i))
		work := v.read
		if i < shopWriters {
			work = v.write
		}
		clients.Add(1)
		go func() {
			defer clients.Done()
			work(until)
		}()
	}
	time.Sleep(length)
	close(stop)
	clients.Wait()
}

// readAll reads every product from every reader when all is whole again, and no answer may be old
// any more.
func (s *shop) readAll(p Promise) {
	v := newVisitor(s, shopWriters+shopReaders, s.run.seed)
	time.Sleep(time.Duration(p.Staleness + p.Listing))
	s.mutex.Lock()
	all := append([]*ware{}, s.products...)
	s.mutex.Unlock()
	for _, at := range s.run.readers {
		for _, ask := range []string{askNoCache, askPlain} {
			isOK := true
			for from := 0; from < len(all); from += perPage {
				some := all[from:int(earlier(int64(from+perPage), int64(len(all))))]
				isOK = v.readSome(at, &Look{Target: at.name, Form: formIDs, Ask: ask}, some) && isOK
				isOK = v.readPage(at, &Look{Target: at.name, Form: formList, Ask: ask},
					some[0].id-1) && isOK
			}
			if !isOK {
				s.run.problem("%s: a read at the end failed", s.name)
			}
		}
	}
}

// -- the ledger

type shopMovement struct {
	ID      int64  `json:"product_id"`
	Name    string `json:"name"`
	Version int64  `json:"version"`
	Stock   int64  `json:"stock_after"`
	Kind    string `json:"kind"`
	Reason  string `json:"reason"`
}

// close compares the writes with the ledger, and so finds all changes of all products.
func (s *shop) close() error {
	var rows []shopMovement
	if err := query(s.run.place.sql(), fmt.Sprintf(`SELECT m.product_id, p.name, m.version,
		m.stock_after, m.kind, coalesce(m.reason, '') AS reason
		FROM stock_movements AS m JOIN products AS p ON p.id = m.product_id
		WHERE p.name = '%s' OR p.name LIKE '%s/%%' ORDER BY m.product_id, m.version`,
		s.name, s.name), &rows); err != nil {
		return err
	}
	s.views.Failovers = s.run.failovers
	for _, problem := range s.explain(rows) {
		s.run.problem("%s: %s", s.name, problem)
	}
	return nil
}

// explain fills in the subjects, and gives what is wrong.
func (s *shop) explain(rows []shopMovement) (problems []string) {
	subjects := map[int64]*Subject{}
	subjectOf := func(id int64) *Subject {
		if subjects[id] == nil {
			subjects[id] = &Subject{ID: id}
			s.views.Subjects = append(s.views.Subjects, subjects[id])
		}
		return subjects[id]
	}
	inLedger := map[*write]bool{}
	for _, row := range rows {
		subject := subjectOf(row.ID)
		c := &Change{Version: row.Version, Stock: row.Stock, Kind: row.Kind, Acked: never}
		if row.Version != int64(len(subject.Changes))+1 {
			problems = append(problems, fmt.Sprintf("product %d: version %d after %d", row.ID,
				row.Version, len(subject.Changes)))
			continue
		}
		if w := s.byID[row.ID]; w != nil && row.Kind == "created" && row.Name == s.name {
			c.Sent, c.Acked = w.sent, w.acked
		} else if op := s.writeOf(row); op != nil {
			c.Sent, c.Acked = op.change.Sent, op.change.Acked
			inLedger[op] = true
		} else {
			problems = append(problems, fmt.Sprintf("in the ledger and not asked for: %+v", row))
		}
		subject.Changes = append(subject.Changes, c)
	}
	for _, op := range s.writes {
		c := op.change
		f := s.views.failoverOf(&c)
		isLost := f.Killed > 0
		if op.isMade && !inLedger[op] && (!isLost || c.Acked > f.Promoted) {
			problems = append(problems, fmt.Sprintf("acknowledged and not in the ledger: %s %s",
				c.Kind, op.name))
		}
		if inLedger[op] { // it may have been made twice, once on the old primary
			isLost = isLost && f.Killed <= c.Acked
			c.Version, c.Acked = 0, never
		}
		// Also one of which the answer says that nothing was changed, as the new primary knows it.
		if isLost && op.product != 0 {
			subject := subjectOf(op.product)
			subject.Lost = append(subject.Lost, &c)
		}
	}
	return problems
}

// writeOf finds the write that made a movement. An edit has no reason in the ledger: it is the one
// whose answer told the version, or else the first of unknown outcome.
func (s *shop) writeOf(row shopMovement) (found *write) {
	for _, op := range s.writes {
		if op.change.Kind != row.Kind || op.isNever {
			continue
		}
		switch row.Kind {
		case "created":
			if op.name == row.Name {
				return op
			}
		case "set":
			if op.name == row.Reason {
				return op
			}
		case "deleted":
			if op.product == row.ID {
				return op
			}
		case "edited":
			if op.product == row.ID && op.change.Version == row.Version {
				return op
			}
			if op.product == row.ID && !op.isMade && found == nil {
				found = op
			}
		}
	}
	return found
}

// -- the end

// judge judges a round's views, keeps those of products that were seen wrongly, and adds up.
func (t *readTest) judge(s *shop, from int64) {
	v := &s.views
	v.Name, v.Promise = s.name, t.promise
	t.mutex.Lock()
	v.Loose = windowsSince(t.loose, from)
	v.Faults = windowsSince(t.faults, from)
	t.mutex.Unlock()
	found := v.judge()
	for _, f := range found.sorted() {
		file := filepath.Join(t.kept, fmt.Sprintf("%s-%d.json", strings.ReplaceAll(s.name, "/", "-"),
			f.sight.Product))
		_ = os.MkdirAll(t.kept, 0o755)
		if err := save(file, v.of(f.sight.Product)); err != nil {
			t.problem("%s", err)
		}
		t.problem("%s: %s: %s", s.name, f, file)
	}
	for key, f := range found.findings {
		t.review.findings[[3]string{s.name, key[0], key[1] + key[2]}] = f
	}
	t.review.add(found)
	t.sights += len(v.Sights) - found.strange
	t.stats.Operations += len(s.writes)
	for _, w := range v.Faults {
		fmt.Fprintf(os.Stderr, "faults: %.1f s to %.1f s: %s\n", seconds64(w.From), seconds64(w.To),
			w.What)
	}
}

func (v *review) add(other *review) {
	for key, count := range other.tiers {
		v.tiers[key] += count
	}
	v.strange += other.strange
	for fault, from := range other.tallies {
		into := v.tally(fault)
		into.Sights += from.Sights
		into.Stale += from.Stale
		into.Failed += from.Failed
		into.WorstList = later(into.WorstList, from.WorstList)
		for ask, worst := range from.Worst {
			into.Worst[ask] = later(into.Worst[ask], worst)
		}
	}
}

func checkViews(path string, v *Views) int {
	if v == nil {
		return 0
	}
	found := v.judge().sorted()
	for _, f := range found {
		fmt.Println(f)
	}
	fmt.Printf("%s: %d sights, %d problems\n", path, len(v.Sights), len(found))
	return len(found)
}

var asks = []string{askPlain, askMaxAge, askNoCache}

func (v *review) printTiers() {
	tiers := map[string]bool{}
	for key := range v.tiers {
		tiers[key[0]] = true
	}
	fmt.Printf("\n%-28s %10s %10s %10s\n", "answers by tier", asks[0], asks[1], asks[2])
	for _, tier := range sortedNames(tiers) {
		fmt.Printf("%-28s", tier)
		for _, ask := range asks {
			fmt.Printf(" %10d", v.tiers[[2]string{tier, ask}])
		}
		fmt.Println()
	}
}

func sortedNames(set map[string]bool) []string {
	var names []string
	for name := range set {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (v *review) printFaults(times map[string]int) {
	names := map[string]bool{}
	for fault := range v.tallies {
		names[fault] = true
	}
	fmt.Printf("\n%-38s %5s %8s %7s %6s  worst, s: %6s %9s %8s %6s\n", "near a fault", "times",
		"sights", "stale", "failed", asks[0], asks[1], asks[2], "lists")
	for _, fault := range sortedNames(names) {
		t := v.tallies[fault]
		fmt.Printf("%-38s %5d %8d %7d %6d", fault, times[fault], t.Sights, t.Stale, t.Failed)
		fmt.Printf("  %16.3f %9.3f %8.3f %6.3f\n", seconds64(t.Worst[askPlain]),
			seconds64(t.Worst[askMaxAge]), seconds64(t.Worst[askNoCache]), seconds64(t.WorstList))
	}
}

func (t *readTest) report() {
	t.review.printTiers()
	t.review.printFaults(t.stats.Faults)
	verdict := "yes"
	if len(t.problems) > 0 {
		verdict = fmt.Sprintf("no: %d problems, kept in %s", len(t.problems), t.kept)
	}
	fmt.Printf(`
writes         %d
sights         %d in %d rounds
failed reads   %s
in time        %s
`, t.stats.Operations, t.sights, t.rounds, byName(t.stats.ReadsFailed), verdict)
}
