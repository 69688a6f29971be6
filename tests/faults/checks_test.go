package main

import (
	"strings"
	"testing"
)

// The checks are worth something only if they refuse what is wrong. Each case here is a history by
// hand, with its ledger.

// A story builds a history: operations that follow each other, unless they are moved.
type story struct {
	Group
	clock int64
}

func newStory(stocks ...int64) *story {
	s := &story{Group: Group{Name: "story"}, clock: 1}
	for i, stock := range stocks {
		s.Products = append(s.Products, Start{int64(100 + i), stock})
		s.Ledger = append(s.Ledger, &Movement{Product: int64(100 + i), Version: 1, Delta: stock,
			StockAfter: stock, Kind: "created"})
	}
	return s
}

func (s *story) add(op *Operation) *Operation {
	op.ID = len(s.Ops)
	op.Client = op.ID
	op.Call, op.Return = s.clock*10, s.clock*10+5
	s.clock++
	if op.Reason == "" {
		op.Reason = "r" + string(rune('a'+op.ID))
	}
	s.Ops = append(s.Ops, op)
	return op
}

// delta adds a change that was acknowledged as this version, and its movement.
func (s *story) delta(place int, qty, stock, version int64) *Operation {
	op := s.add(&Operation{Kind: Delta, Items: []Item{{place, qty}}, Slot: -1, Of: -1,
		Outcome: Applied, Seen: []Seen{{stock, -1, version}}})
	s.move(op, 0)
	return op
}

func (s *story) read(place int, stock, version int64) *Operation {
	return s.add(&Operation{Kind: Read, Items: []Item{{place, 0}}, Slot: -1, Of: -1,
		Outcome: Applied, Seen: []Seen{{stock, -1, version}}})
}

func (s *story) making(kind Kind, id int64, items ...Item) *Operation {
	op := s.add(&Operation{Kind: kind, Items: items, Slot: s.Slots, Of: -1, Outcome: Applied,
		ServerID: id})
	s.Slots++
	return op
}

func (s *story) ending(kind Kind, of *Operation) *Operation {
	op := s.add(&Operation{Kind: kind, Items: of.Items, Slot: -1, Of: of.Slot, OfID: of.ServerID,
		Outcome: Applied})
	if kind == Confirm {
		op.Slot, op.ServerID = s.Slots, 500+int64(s.Slots)
		s.Slots++
	}
	return op
}

// move writes the movement of one item of an operation behind those of its product.
func (s *story) move(op *Operation, item int) {
	id := s.Products[op.Items[item].Product].ID
	var last *Movement
	for _, m := range s.Ledger {
		if m.Product == id {
			last = m
		}
	}
	qty := op.Items[item].Qty
	m := &Movement{Product: id, Version: last.Version + 1, Kind: movementKind[op.Kind]}
	switch op.Kind {
	case Set:
		m.Delta, m.Reason = qty-last.StockAfter, &op.Reason
	case Delta:
		m.Delta, m.Reason = qty, &op.Reason
	case Order:
		m.Delta, m.OrderID = -qty, &op.ServerID
	case Cancel:
		m.Delta, m.OrderID = qty, &op.OfID
	case Reserve:
		m.Delta, m.ReservedDelta, m.ReservationID = -qty, qty, &op.ServerID
	case Confirm:
		m.ReservedDelta, m.ReservationID, m.OrderID = -qty, &op.OfID, &op.ServerID
	case Release, Expire:
		m.Delta, m.ReservedDelta, m.ReservationID = qty, -qty, &op.OfID
	}
	m.StockAfter = last.StockAfter + m.Delta
	s.Ledger = append(s.Ledger, m)
}

func (s *story) moveAll(op *Operation) *Operation {
	for i := range op.Items {
		s.move(op, i)
	}
	return op
}

// judge gives all that the checks say.
func (s *story) judge() string {
	problems := s.checkLedger()
	for _, v := range s.checkHistory() {
		if v.Problem != "" {
			problems = append(problems, v.What+" "+v.Problem)
		}
	}
	return strings.Join(problems, "\n")
}

func refuses(t *testing.T, s *story, want string) {
	t.Helper()
	if found := s.judge(); !strings.Contains(found, want) {
		t.Errorf("expected %q, found %q", want, found)
	}
}

func accepts(t *testing.T, s *story) {
	t.Helper()
	if found := s.judge(); found != "" {
		t.Errorf("refused: %s", found)
	}
}

// -- right histories

func TestAcceptsPlainChanges(t *testing.T) {
	s := newStory(5)
	s.delta(0, -2, 3, 2)
	s.read(0, 3, 2)
	s.add(&Operation{Kind: Delta, Items: []Item{{0, -4}}, Slot: -1, Of: -1, Outcome: Refused,
		Refusal: "insufficient-stock", Seen: []Seen{{3, -1, 2}}})
	s.delta(0, 1, 4, 3)
	s.read(0, 4, 3)
	accepts(t, s)
}

func TestAcceptsChangesThatOverlapInAnyOrder(t *testing.T) {
	s := newStory(5)
	first := s.delta(0, 1, 6, 2)
	second := s.delta(0, 1, 7, 3)
	first.Call, first.Return, second.Call, second.Return = 20, 40, 10, 30
	accepts(t, s)
}

func TestAcceptsUnknownThatWasMadeLate(t *testing.T) {
	s := newStory(5)
	unknown := s.add(&Operation{Kind: Delta, Items: []Item{{0, -1}}, Slot: -1, Of: -1,
		Outcome: Unknown})
	s.delta(0, -1, 4, 2)
	s.read(0, 4, 2)
	s.move(unknown, 0)
	s.read(0, 3, 3)
	accepts(t, s)
}

func TestAcceptsUnknownThatWasNeverMade(t *testing.T) {
	s := newStory(5)
	s.add(&Operation{Kind: Delta, Items: []Item{{0, -1}}, Slot: -1, Of: -1, Outcome: Unknown})
	s.delta(0, -1, 4, 2)
	accepts(t, s)
}

func TestAcceptsOrdersAndReservations(t *testing.T) {
	s := newStory(5, 5)
	order := s.moveAll(s.making(Order, 7, Item{0, 2}, Item{1, 1}))
	s.moveAll(s.ending(Cancel, order))
	kept := s.moveAll(s.making(Reserve, 8, Item{0, 5}, Item{1, 1}))
	s.moveAll(s.ending(Confirm, kept))
	again := s.ending(Confirm, kept)
	again.Outcome, again.Refusal = Refused, "not-held"
	lapsed := s.moveAll(s.making(Reserve, 9, Item{1, 2}))
	s.moveAll(s.ending(Expire, lapsed))
	late := s.ending(Release, lapsed)
	late.Outcome, late.Refusal = Refused, "reservation-expired"
	short := s.making(Order, 0, Item{0, 1}, Item{1, 2})
	short.Outcome, short.Refusal = Refused, "insufficient-stock"
	short.Shorts = []Short{{0, 0}}
	accepts(t, s)
}

func TestAcceptsOldReadNearFaultOfRedis(t *testing.T) {
	s := newStory(5)
	s.delta(0, -2, 3, 2)
	read := s.read(0, 5, 1)
	s.LooseReads = []Window{{read.Call - 1, read.Return, "kill -9 redis"}}
	accepts(t, s)
}

func TestAcceptsManyUnknownsInTime(t *testing.T) {
	s := newStory(0)
	for i := 0; i < 200; i++ { // a search without the versions would not end
		s.add(&Operation{Kind: Delta, Items: []Item{{0, -1}}, Slot: -1, Of: -1, Outcome: Unknown})
	}
	for i := int64(1); i <= 50; i++ {
		s.delta(0, 1, i, i+1)
	}
	for _, v := range s.checkHistory() { // as without a ledger
		if v.Problem != "" {
			t.Error(v.What, v.Problem)
		}
	}
}

// -- planted bugs

func TestRefusesLostUpdate(t *testing.T) {
	s := newStory(5)
	s.delta(0, -2, 3, 2)
	lost := s.delta(0, -1, 2, 3)
	s.Ledger = s.Ledger[:len(s.Ledger)-1] // acknowledged, and PostgreSQL came back without it
	s.delta(0, 4, 7, 3)
	refuses(t, s, "acknowledged and not in the ledger: "+lost.String()[:3])
	refuses(t, s, "is not linearizable")
}

func TestRefusesTwoChangesOfOneState(t *testing.T) {
	s := newStory(5)
	s.delta(0, -2, 3, 2)
	s.add(&Operation{Kind: Delta, Items: []Item{{0, -2}}, Slot: -1, Of: -1, Outcome: Applied,
		Seen: []Seen{{3, -1, 2}}})
	refuses(t, s, "story writes is not linearizable")
}

func TestRefusesRetryThatWasMadeTwice(t *testing.T) {
	s := newStory(5)
	op := s.delta(0, -1, 4, 2)
	s.move(op, 0)
	refuses(t, s, "made twice")
}

func TestRefusesOrderThatWasMadeTwice(t *testing.T) {
	s := newStory(5)
	op := s.moveAll(s.making(Order, 7, Item{0, 1}))
	other := *op
	other.ServerID = 8
	s.move(&other, 0)
	refuses(t, s, "made twice")
}

func TestRefusesChangeOfARequestThatWasSaidToBeNotMade(t *testing.T) {
	s := newStory(5)
	op := s.add(&Operation{Kind: Delta, Items: []Item{{0, -1}}, Slot: -1, Of: -1, Outcome: NotMade})
	s.move(op, 0)
	refuses(t, s, "not asked for")
}

func TestRefusesOversell(t *testing.T) {
	s := newStory(1)
	s.delta(0, -1, 0, 2)
	s.delta(0, -1, -1, 3)
	refuses(t, s, "has stock -1")
	refuses(t, s, "story writes is not linearizable")
}

func TestRefusesRefusalWithEnoughStock(t *testing.T) {
	s := newStory(5)
	s.add(&Operation{Kind: Delta, Items: []Item{{0, -4}}, Slot: -1, Of: -1, Outcome: Refused,
		Refusal: "insufficient-stock", Seen: []Seen{{5, -1, 1}}})
	refuses(t, s, "story writes is not linearizable")
}

func TestRefusesOrderThatTookOneOfTwoItems(t *testing.T) {
	s := newStory(5, 5)
	op := s.making(Order, 7, Item{0, 1}, Item{1, 1})
	s.move(op, 0)
	refuses(t, s, "acknowledged and not in the ledger")
}

func TestRefusesUnknownOrderThatTookOneOfTwoItems(t *testing.T) {
	s := newStory(5, 5)
	op := s.making(Order, 0, Item{0, 1}, Item{1, 1})
	op.Outcome = Unknown
	id := int64(7)
	s.move(op, 0)
	s.Ledger[len(s.Ledger)-1].OrderID = &id
	refuses(t, s, "not asked for, or made twice")
}

func TestRefusesOrdersThatAreNotAtomic(t *testing.T) {
	s := newStory(5, 5) // by product they may be right, together they are not
	a := s.making(Order, 7, Item{0, 1}, Item{1, 1})
	b := s.making(Order, 8, Item{0, 2}, Item{1, 2})
	b.Call = a.Call
	s.move(a, 0)
	s.move(b, 0)
	s.move(b, 1)
	s.move(a, 1)
	refuses(t, s, "story writes is not linearizable")
}

func TestRefusesExpiredAndConfirmed(t *testing.T) {
	s := newStory(5)
	kept := s.moveAll(s.making(Reserve, 8, Item{0, 2}))
	other := s.moveAll(s.making(Reserve, 9, Item{0, 2})) // its units hide the second end
	s.moveAll(s.ending(Expire, kept))
	s.moveAll(s.ending(Confirm, kept))
	refuses(t, s, "story writes is not linearizable")
	_ = other
}

func TestRefusesConfirmAfterItsTime(t *testing.T) {
	s := newStory(5)
	kept := s.moveAll(s.making(Reserve, 8, Item{0, 2}))
	late := s.moveAll(s.ending(Confirm, kept))
	late.Expires = 1
	late.Call, late.Return = int64(clockSlack)+100, int64(clockSlack)+200
	refuses(t, s, "story writes is not linearizable")
}

func TestRefusesReservationThatWasPutBackTwice(t *testing.T) {
	s := newStory(5)
	kept := s.moveAll(s.making(Reserve, 8, Item{0, 2}))
	s.moveAll(s.making(Reserve, 9, Item{0, 2}))
	s.moveAll(s.ending(Release, kept))
	s.moveAll(s.ending(Release, kept))
	refuses(t, s, "story writes is not linearizable")
}

func TestRefusesStaleRead(t *testing.T) {
	s := newStory(5)
	s.delta(0, -2, 3, 2)
	s.read(0, 5, 1)
	refuses(t, s, "story product 100 is not linearizable")
}

func TestRefusesReadThatGoesBack(t *testing.T) {
	s := newStory(5)
	op := s.delta(0, -2, 3, 2)
	s.read(0, 3, 2)
	s.read(0, 5, 1)
	op.Return = s.clock * 100
	refuses(t, s, "story product 100 is not linearizable")
}

func TestRefusesReadOfWhatNeverWas(t *testing.T) {
	s := newStory(5)
	s.delta(0, -2, 3, 2)
	read := s.read(0, 4, 2)
	s.LooseReads = []Window{{read.Call, read.Return, "kill -9 redis"}}
	refuses(t, s, "a read saw a state that never was")
}

func TestRefusesReadBelowMinVersion(t *testing.T) {
	s := newStory(5)
	s.delta(0, -2, 3, 2)
	read := s.read(0, 5, 1)
	read.MinVersion = 2
	s.LooseReads = []Window{{read.Call, read.Return, "kill -9 redis"}}
	refuses(t, s, "Min-Version 2")
}

func TestRefusesFinalStateOfOtherThanTheLedger(t *testing.T) {
	s := newStory(5)
	s.delta(0, -2, 3, 2)
	s.add(&Operation{Kind: Final, Items: []Item{{0, 0}}, Slot: -1, Of: -1, Outcome: Applied,
		Seen: []Seen{{4, 0, 2}}})
	refuses(t, s, "story writes is not linearizable")
}

func TestRefusesReservationWhoseStatusIsAnother(t *testing.T) {
	s := newStory(5)
	s.moveAll(s.making(Reserve, 8, Item{0, 2}))
	s.add(&Operation{Kind: Final, Items: []Item{{0, 0}}, Slot: -1, Of: -1, Outcome: Applied,
		Seen: []Seen{{3, 2, 2}}, Slots: "R"})
	refuses(t, s, "story writes is not linearizable")
}

func TestRefusesGapInTheLedger(t *testing.T) {
	s := newStory(5)
	s.delta(0, -2, 3, 2)
	s.delta(0, -1, 2, 3)
	s.Ledger[2].Version = 4
	refuses(t, s, "does not follow version 2")
}

// -- the proxy

func TestKnowsWrites(t *testing.T) {
	for text, want := range map[string]bool{
		"P\x00\x00\x00\x20\x00SELECT * FROM write_batch($1)":       true,
		"P\x00\x00\x00\x20\x00SELECT * FROM write_batch_end($1)":   false,
		"P\x00\x00\x00\x20\x00SELECT pg_is_in_recovery()":          false,
		"B\x00\x00\x00\x80\x00" + strings.Repeat("x", 200):         true,
		"B\x00\x00\x00\x20\x00pg_statement\x00 and few parameters": false,
	} {
		if isWrite([]byte(text)) != want {
			t.Errorf("isWrite(%q) is not %v", text, want)
		}
	}
}
