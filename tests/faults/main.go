// Tests of writes under faults: clients make histories against the running local stack while its
// parts are killed, frozen and cut off; porcupine decides whether the histories are linearizable,
// and the ledger whether each acknowledged change is there, once. docs/ARCHITECTURE.md,
// "Writes under faults", tells what for.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

const roundLength = 15 * time.Second

type options struct {
	root       string
	seconds    int
	seed       int64
	kinds      string
	only       string
	decrements int
	reads      bool
	readSvc    string
	file       string
}

func readOptions() options {
	var o options
	flag.StringVar(&o.root, "root", ".", "the repository")
	flag.IntVar(&o.seconds, "seconds", 600, "how long clients work")
	flag.Int64Var(&o.seed, "seed", 0, "of all choices; 0: by the clock")
	flag.StringVar(&o.only, "faults", "", "only faults whose name contains this")
	flag.StringVar(&o.kinds, "kinds", "", "only operations of these kinds, by comma")
	flag.IntVar(&keyed, "keyed", keyed, "percent of operations with an Idempotency-Key")
	flag.IntVar(&o.decrements, "decrements", 0, "decrement one product so often, without faults")
	flag.BoolVar(&o.reads, "reads", false, "judge reads, in place of writes")
	flag.StringVar(&o.readSvc, "read-svc", "", "the program to run, in place of the one that is built")
	flag.StringVar(&o.file, "check", "", "check a history that was kept, and do nothing else")
	flag.Parse()
	o.root, _ = filepath.Abs(o.root)
	if o.seed == 0 {
		o.seed = time.Now().Unix() % 1000000
	}
	return o
}

func main() {
	o := readOptions()
	problems, err := 0, error(nil)
	switch {
	case o.file != "":
		problems, err = checkFile(o.file)
	case o.decrements > 0:
		problems, err = decrement(o)
	case o.reads:
		problems, err = testReads(o)
	default:
		problems, err = testWrites(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(2)
	}
	if problems > 0 {
		os.Exit(1)
	}
}

func checkFile(path string) (int, error) {
	if views, err := loadViews(path); err != nil || views != nil {
		return checkViews(path, views), err
	}
	group, err := loadGroup(path)
	if err != nil {
		return 0, err
	}
	problems := group.checkLedger()
	for _, v := range group.checkHistory() {
		if v.Problem != "" {
			problems = append(problems, v.What+" "+v.Problem)
		}
	}
	for _, problem := range problems {
		fmt.Println(problem)
	}
	fmt.Printf("%s: %d operations, %d problems\n", path, len(group.Ops), len(problems))
	return len(problems), nil
}

func onlyKinds(list string) {
	if list == "" {
		return
	}
	for i := range choices {
		if !strings.Contains(","+list+",", ","+string(choices[i].kind)+",") {
			choices[i].weight = 0
		}
	}
}

func testWrites(o options) (int, error) {
	onlyKinds(o.kinds)
	s, err := openStack(o.root)
	if err != nil {
		return 0, err
	}
	r := newRun(s, o.seed)
	fmt.Printf("faults: seed %d, %d s\n", o.seed, o.seconds)
	length := time.Duration(o.seconds) * time.Second
	alone := length * 3 / 4
	err = r.testIn(o, alone, func() (arena, error) { return newLocalStack(r) }, r.round)
	if err == nil {
		err = r.testIn(o, length-alone, func() (arena, error) { return newPair(r, true) },
			r.round)
	}
	r.checks.Wait()
	if r.stats.Checks == 0 {
		r.problem("no history was checked")
	}
	r.report()
	return len(r.problems), err
}

// testIn runs rounds in an arena, unless none of its faults is wanted.
func (r *run) testIn(o options, length time.Duration, make func() (arena, error),
	round func(number int, length time.Duration) error) error {
	place, err := make()
	if err != nil {
		return err
	}
	interrupts := newInterrupts(place)
	defer interrupts.end()
	r.place = selected{place, o.only}
	if len(r.place.faults()) > 0 {
		err = r.runFor(length, round)
	}
	r.countCuts(place.cutters())
	if restored := place.restore(); err == nil {
		err = restored
	}
	return err
}

// interrupts restores the stack when the run is interrupted.
type interrupts chan os.Signal

func newInterrupts(place arena) interrupts {
	list := make(interrupts, 1)
	signal.Notify(list, os.Interrupt, syscall.SIGTERM)
	go func() {
		if _, isOne := <-list; isOne {
			fmt.Fprintln(os.Stderr, "faults: interrupted; restoring the stack")
			_ = place.restore()
			os.Exit(130)
		}
	}()
	return list
}

func (i interrupts) end() {
	signal.Stop(i)
	close(i)
}

// selected leaves out faults.
type selected struct {
	arena
	only string
}

func (s selected) faults() []fault {
	var list []fault
	for _, f := range s.arena.faults() {
		if strings.Contains(f.name, s.only) {
			list = append(list, f)
		}
	}
	return list
}

func (r *run) runFor(length time.Duration, round func(int, time.Duration) error) error {
	for until := time.Now().Add(length); time.Now().Before(until); r.rounds++ {
		number := r.rounds
		left := time.Until(until)
		if left > roundLength {
			left = roundLength
		}
		if err := round(number, left); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "faults: round %d, %d operations so far, %d problems\n", number,
			r.stats.Operations, len(r.problems))
	}
	return nil
}

func (r *run) countCuts(proxies []*proxy) {
	for _, p := range proxies {
		for what := cutBefore; what < cuts; what++ {
			r.stats.Faults["writes cut: "+cutNames[what]] += int(p.counts[what])
		}
	}
}

func byName(counts map[string]int) string {
	var parts []string
	for name, count := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", count, name))
	}
	sort.Slice(parts, func(i, j int) bool {
		return parts[i][strings.Index(parts[i], " "):] < parts[j][strings.Index(parts[j], " "):]
	})
	return strings.Join(parts, ", ")
}

func (r *run) report() {
	s := &r.stats
	kinds := map[string]int{}
	for kind, count := range s.Kinds {
		kinds[string(kind)] = count
	}
	linearizable := "yes"
	if len(r.problems) > 0 {
		linearizable = fmt.Sprintf("no: %d problems, kept in %s", len(r.problems), r.kept)
	}
	fmt.Printf(`operations     %d (%s)
acknowledged   %d
refused        %d (%s)
unknown        %d
not made       %d
retries        %d
replays        %d
reads          %d, of them %d near a fault of Redis; failed: %s
faults         %s
expiry         at most %s late
ledger         %d movements of %d groups
checked        %d histories
linearizable   %s
`, s.Operations, byName(kinds), s.Applied, s.Refused, byName(s.Refusals), s.Unknown, s.NotMade,
		s.Retries, s.Replays, s.Reads, s.LooseReads, byName(s.ReadsFailed), byName(s.Faults),
		s.latest.Round(time.Millisecond), s.Movements, s.Groups, s.Checks, linearizable)
}
