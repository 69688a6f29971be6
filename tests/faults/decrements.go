package main

import (
	"fmt"
	"math/rand"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// One product that is nearly sold out: many clients take one unit at a time, and put a few back
// when they hear that there are none. No faults; what is counted is whether anything is sold twice.

const (
	takers   = 64
	restock  = 16 // units that come back at a time, at most
	returnIn = 8  // one in so many that were refused puts units back
)

type sale struct {
	run                     *run
	id                      int64
	left                    int64
	taken, refused, put     int64 // acknowledged: units taken, refused, units put back
	puts, unclear, negative int64
}

func decrement(o options) (int, error) {
	s, err := openStack(o.root)
	if err != nil {
		return 0, err
	}
	r := newRun(s, o.seed)
	url := s.env["DIRECT_URL"]
	var made []struct{ ID int64 }
	if err := query(url, "SELECT id FROM create_product('decrements', 1, 0)", &made); err != nil {
		return 0, err
	}
	job := &sale{run: r, id: made[0].ID, left: int64(o.decrements)}
	start := time.Now()
	job.work()
	took := time.Since(start)
	problems, err := job.check(url)
	fmt.Printf("decrements     %d in %.1f s (%.0f/s) by %d clients: %d made, %d refused\n"+
		"put back       %d units in %d changes\nunclear        %d\n"+
		"oversold       %d\nledger         %s\n", o.decrements, took.Seconds(),
		float64(o.decrements)/took.Seconds(), takers, job.taken, job.refused, job.put, job.puts,
		job.unclear, job.negative, map[bool]string{true: "right", false: "wrong"}[problems == 0])
	return problems, err
}

func (s *sale) work() {
	var clients sync.WaitGroup
	for i := 0; i < takers; i++ {
		c := &client{run: s.run, id: i, random: rand.New(rand.NewSource(s.run.seed + int64(i))),
			http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2}}}
		clients.Add(1)
		go func() {
			defer clients.Done()
			for atomic.AddInt64(&s.left, -1) >= 0 {
				if s.change(c, -1) == 409 && c.random.Intn(returnIn) == 0 {
					s.change(c, 1+c.random.Int63n(restock))
				}
			}
		}()
	}
	clients.Wait()
}

// change asks the writers, without the edge, because it is them that are tested.
func (s *sale) change(c *client, delta int64) int {
	target := s.run.writers[1+c.random.Intn(len(s.run.writers)-1)]
	a := c.request("POST", fmt.Sprintf("%s/api/products/%d/update-stock", target.url, s.id),
		fmt.Sprintf(`{"delta":%d}`, delta), nil, patience)
	switch {
	case a.status == 200 && delta < 0:
		atomic.AddInt64(&s.taken, 1)
	case a.status == 200:
		atomic.AddInt64(&s.put, delta)
		atomic.AddInt64(&s.puts, 1)
	case a.status == 409:
		atomic.AddInt64(&s.refused, 1)
	default:
		atomic.AddInt64(&s.unclear, 1)
		s.run.problem("a change was answered with %s", a)
	}
	return a.status
}

// check compares what was acknowledged with the product and its ledger.
func (s *sale) check(url string) (int, error) {
	var rows []struct {
		Stock, Version, Sum, Least, Movements, Takes, Steps int64
	}
	err := query(url, fmt.Sprintf(`SELECT p.stock, p.version, l.* FROM products p, (
		SELECT sum(delta) AS sum, min(stock_after) AS least, count(*) AS movements,
		count(*) FILTER (WHERE delta = -1) AS takes,
		count(*) FILTER (WHERE stock_after = before + delta) AS steps FROM (
		SELECT *, lag(stock_after, 1, 0::bigint) OVER (ORDER BY version) AS before
		FROM stock_movements WHERE product_id = %d) AS m) AS l WHERE p.id = %d`, s.id, s.id), &rows)
	if err != nil {
		return 0, err
	}
	row := rows[0]
	if row.Least < 0 {
		s.negative = -row.Least
	}
	for what, is := range map[string]bool{
		"the stock is what was put back less what was taken": row.Stock == s.put-s.taken,
		"the ledger's sum is the stock":                      row.Sum == row.Stock,
		"no stock is below zero":                             row.Least >= 0,
		"each decrement is in the ledger once":               row.Takes == s.taken,
		"each change is in the ledger once":                  row.Movements == 1+s.taken+s.puts,
		"each change is a version":                           row.Version == row.Movements,
		"each movement follows the one before":               row.Steps == row.Movements,
	} {
		if !is {
			s.run.problem("this does not hold: %s (%+v)", what, row)
		}
	}
	return len(s.run.problems), nil
}
