package main

import (
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// What a group of products may do, as a model for porcupine: each operation takes effect at one
// moment between its call and its return.
//
// Two models, because the service promises less about several products than about one:
//
//   - The *group* model has all writes, each of them atomic over its products, and the state of
//     PostgreSQL at the end. So an order that took one of its two items has no place in it, and
//     neither has a reservation that expired and was confirmed.
//   - The *product* model has the writes of one product and the reads of it. A read that sees one
//     product of an order does not promise that the next read sees the other, because each product
//     is published by itself; but a read of a product sees each change of it that was acknowledged.
//     (Refusals stand in the group model only: one may tell of a change that is committed and not
//     published yet, because its writer has just been killed, say.)
//
// An operation of unknown outcome has no return, so it may stand anywhere after its call; at the
// very end it has no effect that anybody saw, which is "never". The search for its place would be
// exponential, were it not for the versions: each change of a product has one, none is used twice,
// and an acknowledged change knows its own. So an unknown one may stand only where the next version
// belongs to no acknowledged change. One without an effect (it would be refused) stands at the end
// only, because it may be moved there from wherever it stood. And where the ledger was asked, it
// tells which of them were made, and as which version.

const groupMax = 3

// The clock of PostgreSQL, by which reservations expire, is that of the machine; ours is monotonic.
const clockSlack = 5 * time.Millisecond

type product struct{ stock, reserved, version int64 }

type state struct {
	products [groupMax]product
	// One letter for each order and reservation: - not made; o x an order, cancelled; H C R E a
	// reservation by its status.
	slots string
}

const (
	notMade   = '-'
	ordered   = 'o'
	cancelled = 'x'
	held      = 'H'
	confirmed = 'C'
	released  = 'R'
	expired   = 'E'
)

type model struct {
	start state
	// claimed: by product, the versions that belong to acknowledged changes
	claimed [groupMax]map[int64]bool
	// last: by product, the highest version that anybody saw
	last [groupMax]int64
	// hasSlots: the group model
	hasSlots bool
}

func (g *Group) newModel(ops []*Operation, hasSlots bool) *model {
	m := &model{hasSlots: hasSlots}
	for i, p := range g.Products {
		m.start.products[i] = product{p.Stock, 0, 1}
		m.claimed[i] = map[int64]bool{}
	}
	if hasSlots {
		letters := make([]byte, g.Slots)
		for i := range letters {
			letters[i] = notMade
		}
		m.start.slots = string(letters)
	}
	for _, op := range ops {
		for i, seen := range op.Seen {
			place := op.Items[i].Product
			if seen.Version > m.last[place] {
				m.last[place] = seen.Version
			}
			if op.wasMade() && op.Kind != Read && op.Kind != Final {
				m.claimed[place][seen.Version] = true
			}
		}
	}
	return m
}

// wasMade: is it known that an operation took effect?
func (op *Operation) wasMade() bool {
	return op.Outcome == Applied || op.Outcome == Unknown && op.InLedger == "made"
}

func (s state) letter(slot int) byte { return s.slots[slot] }

func (s state) withLetter(slot int, letter byte) state {
	s.slots = s.slots[:slot] + string(letter) + s.slots[slot+1:]
	return s
}

// effect gives the state after an operation, or why it is refused.
func (m *model) effect(s state, op *Operation) (state, string) {
	if m.hasSlots {
		if refusal := endRefusal(s, op); refusal != "" {
			return s, refusal
		}
	}
	for _, item := range op.Items {
		p := &s.products[item.Product]
		if op.IfVersion != 0 && op.IfVersion != p.version {
			return s, "precondition-failed"
		}
		switch op.Kind {
		case Set:
			p.stock = item.Qty
		case Delta:
			p.stock += item.Qty
		case Order:
			p.stock -= item.Qty
		case Cancel:
			p.stock += item.Qty
		case Reserve:
			p.stock -= item.Qty
			p.reserved += item.Qty
		case Confirm:
			p.reserved -= item.Qty
		case Release, Expire:
			p.stock += item.Qty
			p.reserved -= item.Qty
		}
		p.version++
		if p.stock < 0 || p.reserved < 0 {
			return s, "insufficient-stock"
		}
	}
	if m.hasSlots {
		s = withSlots(s, op)
	}
	return s, ""
}

// endRefusal tells why the order or reservation that an operation ends cannot be ended.
func endRefusal(s state, op *Operation) string {
	if op.Of < 0 {
		return ""
	}
	switch letter := s.letter(op.Of); letter {
	case notMade:
		return "not-found"
	case cancelled:
		return "order-cancelled"
	case expired:
		return "reservation-expired"
	case released, confirmed:
		return "not-held"
	}
	return ""
}

func withSlots(s state, op *Operation) state {
	switch op.Kind {
	case Order:
		s = s.withLetter(op.Slot, ordered)
	case Cancel:
		s = s.withLetter(op.Of, cancelled)
	case Reserve:
		s = s.withLetter(op.Slot, held)
	case Confirm:
		s = s.withLetter(op.Of, confirmed).withLetter(op.Slot, ordered)
	case Release:
		s = s.withLetter(op.Of, released)
	case Expire:
		s = s.withLetter(op.Of, expired)
	}
	return s
}

// shows: does a state look as it was seen?
func (s state) shows(items []Item, seen []Seen) bool {
	for i, item := range items {
		if i >= len(seen) {
			return true
		}
		p := s.products[item.Product]
		if seen[i].Stock >= 0 && seen[i].Stock != p.stock ||
			seen[i].Reserved >= 0 && seen[i].Reserved != p.reserved ||
			seen[i].Version >= 0 && seen[i].Version != p.version {
			return false
		}
	}
	return true
}

func (s state) hasLetters(letters string) bool {
	for slot := range letters {
		if letters[slot] != '?' && letters[slot] != s.slots[slot] {
			return false
		}
	}
	return true
}

func (m *model) step(s state, op *Operation) (bool, state) {
	if op.Kind == Read || op.Kind == Final {
		return s.shows(op.Items, op.Seen) && (!m.hasSlots || s.hasLetters(op.Slots)), s
	}
	next, refusal := m.effect(s, op)
	switch {
	case op.wasMade():
		isInTime := op.Kind != Confirm || op.Expires == 0 || op.Call <= op.Expires+int64(clockSlack)
		return refusal == "" && isInTime && next.shows(op.Items, op.Seen), next
	case op.Outcome == Refused:
		return m.refusalHolds(s, op, refusal), s
	case refusal != "":
		return m.isAtEnd(s, op), s
	}
	for _, item := range op.Items {
		if m.claimed[item.Product][next.products[item.Product].version] {
			return false, s
		}
	}
	return true, next
}

func (m *model) isAtEnd(s state, op *Operation) bool {
	for _, item := range op.Items {
		if s.products[item.Product].version < m.last[item.Product] {
			return false
		}
	}
	return true
}

func (m *model) refusalHolds(s state, op *Operation, refusal string) bool {
	if op.Refusal == "reservation-expired" && refusal == "" {
		return op.Expires != 0 && op.Return >= op.Expires // it is due, and not swept yet
	}
	if op.Refusal != refusal {
		return false
	}
	if op.Kind == Set || op.Kind == Delta {
		return s.shows(op.Items, op.Seen)
	}
	if refusal != "insufficient-stock" {
		return true
	}
	shorts := map[int]int64{}
	for _, short := range op.Shorts {
		shorts[short.Product] = short.Stock
	}
	for _, item := range op.Items {
		stock := s.products[item.Product].stock
		told, isShort := shorts[item.Product]
		if isShort != (stock < item.Qty) || isShort && told != stock {
			return false
		}
	}
	return true
}

func (m *model) porcupine() porcupine.Model {
	return porcupine.Model{
		Init: func() interface{} { return m.start },
		Step: func(s, input, _ interface{}) (bool, interface{}) {
			return m.step(s.(state), input.(*Operation))
		},
		DescribeOperation: func(input, _ interface{}) string { return input.(*Operation).String() },
		DescribeState:     func(s interface{}) string { return fmt.Sprint(s) },
	}
}

func (op *Operation) String() string {
	text := fmt.Sprintf("#%d %s", op.ID, op.Kind)
	for _, item := range op.Items {
		text += fmt.Sprintf(" p%d:%d", item.Product, item.Qty)
	}
	if op.IfVersion != 0 {
		text += fmt.Sprintf(" if v%d", op.IfVersion)
	}
	if op.Of >= 0 {
		text += fmt.Sprintf(" of slot %d", op.Of)
	}
	text += fmt.Sprintf(" -> %s %s", op.Outcome, op.Refusal)
	for _, seen := range op.Seen {
		text += fmt.Sprintf(" v%d=%d/%d", seen.Version, seen.Stock, seen.Reserved)
	}
	return text
}

// history gives the operations that a model is asked about, those of unknown outcome without end.
func history(ops []*Operation) []porcupine.Operation {
	var list []porcupine.Operation
	for _, op := range ops {
		entry := porcupine.Operation{ClientId: op.Client, Input: op, Call: op.Call, Return: op.Return}
		if op.Outcome == Unknown {
			entry.Return = math.MaxInt64
		}
		list = append(list, entry)
	}
	return list
}

// ofProduct gives the writes of one product, and its reads.
func (g *Group) ofProduct(place int) []*Operation {
	var ops []*Operation
	for _, op := range g.Ops {
		if op.hasNoPlace() || op.Kind == Read && g.isLoose(op) ||
			op.Outcome == Refused {
			continue
		}
		for i, item := range op.Items {
			if item.Product != place {
				continue
			}
			part := *op
			part.Items = []Item{item}
			part.Seen = nil
			if i < len(op.Seen) {
				part.Seen = []Seen{op.Seen[i]}
			}
			ops = append(ops, &part)
		}
	}
	return ops
}

// hasNoPlace: it certainly took no effect, and no answer told a state.
func (op *Operation) hasNoPlace() bool {
	return op.Outcome == NotMade || op.Outcome == Unknown && op.InLedger == "never"
}

func (g *Group) writes() []*Operation {
	var ops []*Operation
	for _, op := range g.Ops {
		if op.Kind != Read && !op.hasNoPlace() {
			ops = append(ops, op)
		}
	}
	return ops
}

func (g *Group) isLoose(op *Operation) bool {
	for _, w := range g.LooseReads {
		if op.Call <= w.To && op.Return >= w.From {
			return true
		}
	}
	return false
}

// Verdict is what a check found; Problem is empty when all is well.
type Verdict struct {
	What    string
	Problem string
	// show writes porcupine's page; nil: there is none
	show func(path string) error
}

const checkLimit = 20 * time.Second

func (m *model) check(what string, ops []*Operation) Verdict {
	model := m.porcupine()
	switch porcupine.CheckOperationsTimeout(model, history(ops), checkLimit) {
	case porcupine.Ok:
		return Verdict{What: what}
	case porcupine.Illegal:
		return Verdict{what, "is not linearizable", m.picture(ops)}
	default:
		return Verdict{what, fmt.Sprintf("was not decided within %s", checkLimit), nil}
	}
}

// picture gives a function that writes porcupine's page about a history.
func (m *model) picture(ops []*Operation) func(path string) error {
	return func(path string) error {
		model := m.porcupine()
		_, info := porcupine.CheckOperationsVerbose(model, history(ops), checkLimit)
		return porcupine.VisualizePath(model, info, path)
	}
}

// checkHistory asks both models about a group.
func (g *Group) checkHistory() []Verdict {
	ops := g.writes()
	verdicts := []Verdict{g.newModel(ops, true).check(g.Name+" writes", ops)}
	for place := range g.Products {
		ops := g.ofProduct(place)
		what := fmt.Sprintf("%s product %d", g.Name, g.Products[place].ID)
		verdicts = append(verdicts, g.newModel(ops, false).check(what, ops))
	}
	return verdicts
}
