package main

import (
	"fmt"
	"sort"
)

// The ledger against the history: each acknowledged change is there once, each movement is the
// change of one operation, and nothing else is. From the ledger an operation gets the versions that
// its answer does not tell (those of orders and reservations), so the models can demand that the
// order of the ledger is one that the clients may have seen.

// Kinds of movements, by kind of operation.
var movementKind = map[Kind]string{
	Set: "set", Delta: "adjust", Order: "order", Cancel: "cancel", Reserve: "reserve",
	Confirm: "confirm", Release: "release", Expire: "expire",
}

type ledger struct {
	group    *Group
	place    map[int64]int // product id -> place in the group
	problems []string
}

func (l *ledger) problem(format string, args ...interface{}) {
	l.problems = append(l.problems, fmt.Sprintf(format, args...))
}

// checkLedger fills in the versions of all operations that have a movement, and gives what is
// wrong. The group's operations must hold those that the service made itself (Expire).
func (g *Group) checkLedger() []string {
	l := &ledger{group: g, place: map[int64]int{}}
	for i, p := range g.Products {
		l.place[p.ID] = i
	}
	l.checkRows()
	for _, op := range g.Ops {
		if op.Outcome == Applied && op.Kind != Read && op.Kind != Final {
			l.claim(op)
		}
	}
	l.explainRest()
	l.checkReads()
	return l.problems
}

// checkRows: versions without gaps, sums that follow, nothing below zero.
func (l *ledger) checkRows() {
	sort.Slice(l.group.Ledger, func(i, j int) bool {
		a, b := l.group.Ledger[i], l.group.Ledger[j]
		return a.Product < b.Product || a.Product == b.Product && a.Version < b.Version
	})
	var last *Movement
	for _, m := range l.group.Ledger {
		if last == nil || last.Product != m.Product {
			last = &Movement{Product: m.Product}
		}
		if m.Version != last.Version+1 || m.StockAfter != last.StockAfter+m.Delta {
			l.problem("product %d: version %d with stock %d does not follow version %d with stock %d",
				m.Product, m.Version, m.StockAfter, last.Version, last.StockAfter)
		}
		m.ReservedAfter = last.ReservedAfter + m.ReservedDelta
		if m.StockAfter < 0 || m.ReservedAfter < 0 {
			l.problem("product %d: version %d has stock %d, reserved %d", m.Product, m.Version,
				m.StockAfter, m.ReservedAfter)
		}
		last = m
	}
}

// isOf: may this movement be an operation's, for one of its items?
func (m *Movement) isOf(op *Operation, item Item, productID int64) bool {
	if m.Product != productID || m.Kind != movementKind[op.Kind] {
		return false
	}
	switch op.Kind {
	case Set:
		return m.StockAfter == item.Qty && m.isFor(op)
	case Delta:
		return m.Delta == item.Qty && m.isFor(op)
	case Order:
		return m.Delta == -item.Qty && isID(m.OrderID, op.ServerID)
	case Cancel:
		return m.Delta == item.Qty && isID(m.OrderID, op.OfID)
	case Reserve:
		return m.Delta == -item.Qty && m.ReservedDelta == item.Qty &&
			isID(m.ReservationID, op.ServerID)
	case Confirm:
		return m.Delta == 0 && m.ReservedDelta == -item.Qty && isID(m.ReservationID, op.OfID) &&
			isID(m.OrderID, op.ServerID)
	case Release, Expire:
		return m.Delta == item.Qty && m.ReservedDelta == -item.Qty &&
			isID(m.ReservationID, op.OfID)
	}
	return false
}

func (m *Movement) isFor(op *Operation) bool { return m.Reason != nil && *m.Reason == op.Reason }

// isID: 0 is an id that the client was not told.
func isID(id *int64, wanted int64) bool { return id != nil && (wanted == 0 || *id == wanted) }

// claim finds the movements of an acknowledged operation.
func (l *ledger) claim(op *Operation) {
	for len(op.Seen) < len(op.Items) {
		op.Seen = append(op.Seen, unseen)
	}
	for i, item := range op.Items {
		m := l.find(op, item)
		if m == nil {
			l.problem("acknowledged and not in the ledger: %s, product %d", op,
				l.group.Products[item.Product].ID)
			continue
		}
		m.owner = op
		seen := &op.Seen[i]
		if seen.Version > 0 && (seen.Version != m.Version || seen.Stock != m.StockAfter) {
			l.problem("the ledger has version %d with stock %d for %s", m.Version, m.StockAfter, op)
		}
		*seen = Seen{m.StockAfter, m.ReservedAfter, m.Version}
	}
}

func (l *ledger) find(op *Operation, item Item) *Movement {
	for _, m := range l.group.Ledger {
		if m.owner == nil && m.isOf(op, item, l.group.Products[item.Product].ID) {
			return m
		}
	}
	return nil
}

// explainRest: a movement that no acknowledged operation has made must be that of one whose outcome
// is unknown, with all of its items.
func (l *ledger) explainRest() {
	// Two orders of unknown outcome may be alike; then the one that was asked for first was made
	// first, because that is possible whenever the other way round is.
	var unknown []*Operation
	for _, op := range l.group.Ops {
		if op.Outcome == Unknown {
			unknown = append(unknown, op)
		}
	}
	sort.SliceStable(unknown, func(i, j int) bool { return unknown[i].Call < unknown[j].Call })
	for _, op := range unknown {
		op.InLedger, op.Seen = "never", nil
		for _, m := range l.actOf(op) {
			op.InLedger, m.owner = "made", op
			op.Seen = append(op.Seen, Seen{m.StockAfter, m.ReservedAfter, m.Version})
		}
	}
	for _, m := range l.group.Ledger {
		if m.owner == nil && m.Kind != "created" {
			l.problem("in the ledger and not asked for, or made twice: %s", m)
		}
	}
}

// actOf gives the movements that an operation of unknown outcome may have made: one for each of its
// items, all for one order or reservation.
func (l *ledger) actOf(op *Operation) []*Movement {
	first := op.Items[0]
	for _, m := range l.group.Ledger {
		if m.owner != nil || !m.isOf(op, first, l.group.Products[first.Product].ID) {
			continue
		}
		act := []*Movement{}
		for _, item := range op.Items {
			for _, other := range l.group.Ledger {
				if other.owner == nil && sameID(other.OrderID, m.OrderID) &&
					sameID(other.ReservationID, m.ReservationID) &&
					other.isOf(op, item, l.group.Products[item.Product].ID) {
					act = append(act, other)
					break
				}
			}
		}
		if len(act) == len(op.Items) {
			return act
		}
	}
	return nil
}

func sameID(a, b *int64) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

// checkReads: also a read that may be old shows a state that there was, and none older than the
// version that it asked for.
func (l *ledger) checkReads() {
	rows := map[[2]int64]*Movement{}
	for _, m := range l.group.Ledger {
		rows[[2]int64{m.Product, m.Version}] = m
	}
	for _, op := range l.group.Ops {
		if op.Kind != Read || op.Outcome != Applied {
			continue
		}
		seen := op.Seen[0]
		m := rows[[2]int64{l.group.Products[op.Items[0].Product].ID, seen.Version}]
		if m == nil || m.StockAfter != seen.Stock ||
			seen.Reserved >= 0 && seen.Reserved != m.ReservedAfter {
			l.problem("a read saw a state that never was: %s", op)
		}
		if seen.Version < op.MinVersion {
			l.problem("a read with Min-Version %d saw an older state: %s", op.MinVersion, op)
		}
	}
}

func (m *Movement) String() string {
	text := fmt.Sprintf("product %d version %d %s delta %d", m.Product, m.Version, m.Kind, m.Delta)
	if m.Reason != nil {
		text += " reason " + *m.Reason
	}
	if m.OrderID != nil {
		text += fmt.Sprintf(" order %d", *m.OrderID)
	}
	if m.ReservationID != nil {
		text += fmt.Sprintf(" reservation %d", *m.ReservationID)
	}
	return text
}
