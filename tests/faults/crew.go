package main

import (
	"fmt"
	"sync"
	"time"
)

// A crew is the clients of one group, and what they know together: the orders and reservations that
// one of them may end.
type crew struct {
	run   *run
	group *Group

	mutex sync.Mutex
	open  []*Operation
}

const (
	clientsOfCrew = 5
	startStockMax = 12
)

// Weights of what a client does next.
var choices = []struct {
	kind   Kind
	weight int
}{
	{Read, 24}, {Delta, 34}, {Set, 4}, {Order, 12}, {Cancel, 6}, {Reserve, 10}, {Confirm, 6},
	{Release, 4},
}

// keyed is the share, in a hundred, of operations with an Idempotency-Key.
var keyed = 75

func (c *client) choose() *Operation {
	total := 0
	for _, choice := range choices {
		total += choice.weight
	}
	number := c.random.Intn(total)
	for _, choice := range choices {
		if number -= choice.weight; number < 0 {
			return c.make(choice.kind)
		}
	}
	panic("unreachable")
}

// make gives an operation of a kind; nil when there is nothing that it could end.
func (c *client) make(kind Kind) *Operation {
	op := &Operation{Client: c.id, Kind: kind, Slot: -1, Of: -1}
	switch kind {
	case Set, Delta:
		c.makeChange(op)
	case Order:
		op.Items = c.someItems()
	case Reserve:
		op.Items = c.someItems()
		op.TTL = []int64{1, 1, 2, 3, 600}[c.random.Intn(5)]
	case Cancel, Confirm, Release:
		if !c.crew.pick(op, c.random.Intn) {
			return nil
		}
	}
	c.crew.number(op)
	op.Reason = fmt.Sprintf("%s/%d", c.crew.group.Name, op.ID)
	// A reservation has a key always, because by it one of unknown outcome is found.
	if kind == Reserve || c.random.Intn(100) < keyed {
		op.Key = op.Reason
	}
	return op
}

func (c *client) makeChange(op *Operation) {
	place := c.random.Intn(len(c.crew.group.Products))
	qty := int64(c.random.Intn(7) - 4) // around zero: less is added than taken, and set adds
	if qty >= 0 {
		qty++
	}
	if op.Kind == Set {
		qty = int64(c.random.Intn(8))
	}
	op.Items = []Item{{place, qty}}
	if c.random.Intn(4) == 0 {
		op.IfVersion = c.last[place]
	}
}

func (c *client) someItems() []Item {
	var items []Item
	places := c.random.Perm(len(c.crew.group.Products))
	for _, place := range places[:1+c.random.Intn(len(places))] {
		items = append(items, Item{place, int64(1 + c.random.Intn(2))})
	}
	return items
}

func (crew *crew) number(op *Operation) {
	crew.mutex.Lock()
	defer crew.mutex.Unlock()
	op.ID = len(crew.group.Ops)
	crew.group.Ops = append(crew.group.Ops, op)
	if op.Kind == Order || op.Kind == Reserve || op.Kind == Confirm {
		op.Slot = crew.group.Slots
		crew.group.Slots++
	}
}

// pick chooses what an operation ends. Half of the time it stays open, so that another client ends
// it as well.
func (crew *crew) pick(op *Operation, random func(int) int) bool {
	crew.mutex.Lock()
	defer crew.mutex.Unlock()
	var fitting []int
	for i, maker := range crew.open {
		if (maker.Kind == Reserve) == (op.Kind != Cancel) {
			fitting = append(fitting, i)
		}
	}
	if len(fitting) == 0 {
		return false
	}
	i := fitting[random(len(fitting))]
	maker := crew.open[i]
	op.Of, op.OfID, op.Items = maker.Slot, maker.ServerID, maker.Items
	op.Expires = maker.Expires
	if maker.Kind != Reserve {
		op.Expires = 0
	}
	if random(2) == 0 {
		crew.open = append(crew.open[:i:i], crew.open[i+1:]...)
	}
	return true
}

func (crew *crew) done(op *Operation) {
	if op.Slot >= 0 && op.Outcome == Applied {
		crew.mutex.Lock()
		crew.open = append(crew.open, op)
		crew.mutex.Unlock()
	}
}

// work is what a client does until the round is over.
func (c *client) work(until time.Time) {
	for time.Now().Before(until) {
		op := c.choose()
		if op == nil {
			continue
		}
		if op.Kind == Read {
			c.readInto(op)
		} else {
			c.do(op)
			c.crew.done(op)
			c.run.count(op)
		}
		time.Sleep(time.Duration(c.random.Int63n(int64(20 * time.Millisecond))))
	}
	c.http.CloseIdleConnections()
}

// readInto runs a read. One that fails has no place in the history, so it becomes NotMade.
func (c *client) readInto(op *Operation) {
	place := c.random.Intn(len(c.crew.group.Products))
	seen := c.read(place, c.run.readers)
	if seen == nil {
		op.Items, op.Outcome = []Item{{place, 0}}, NotMade
		return
	}
	seen.ID, seen.Client = op.ID, op.Client
	*op = *seen
	c.run.count(op)
}
