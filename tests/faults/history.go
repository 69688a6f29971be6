package main

import (
	"encoding/json"
	"os"
)

// Kind says what an operation asks for.
type Kind string

// Expire is no request: the service itself ends a reservation. Final is no request either: it is
// what PostgreSQL holds at the end.
const (
	Set     Kind = "set"
	Delta   Kind = "delta"
	Order   Kind = "order"
	Cancel  Kind = "cancel"
	Reserve Kind = "reserve"
	Confirm Kind = "confirm"
	Release Kind = "release"
	Expire  Kind = "expire"
	Read    Kind = "read"
	Final   Kind = "final"
)

// Outcome says how an operation ended, as far as its client knows.
type Outcome string

const (
	Applied Outcome = "applied"
	Refused Outcome = "refused"
	// Unknown: it may take effect at any time after its call, or never.
	Unknown Outcome = "unknown"
	// NotMade: every answer said that nothing was changed.
	NotMade Outcome = "not made"
)

// Item is one product of an operation.
type Item struct {
	Product int   `json:"product"` // its place in the group
	Qty     int64 `json:"qty"`     // a quantity; of set the new stock, of delta what is added
}

// Seen is a product as an answer, or the ledger, shows it; a number is -1 where it is not shown.
type Seen struct {
	Stock    int64 `json:"stock"`
	Reserved int64 `json:"reserved"`
	Version  int64 `json:"version"`
}

var unseen = Seen{-1, -1, -1}

// Short is an item of which there was not enough.
type Short struct {
	Product int   `json:"product"`
	Stock   int64 `json:"stock"`
}

// Attempt is one request of an operation.
type Attempt struct {
	At       int64  `json:"at"`
	Took     int64  `json:"took"`
	Target   string `json:"target"`
	Answer   string `json:"answer"`
	Replayed bool   `json:"replayed,omitempty"`
}

// Operation is one thing that a client wanted, with all requests that it took. Times are
// nanoseconds since the start of the run.
type Operation struct {
	ID     int    `json:"id"`
	Client int    `json:"client"`
	Kind   Kind   `json:"kind"`
	Items  []Item `json:"items"`
	// IfVersion is the version of If-Match; 0: none.
	IfVersion int64  `json:"ifVersion,omitempty"`
	Key       string `json:"key,omitempty"`
	Reason    string `json:"reason,omitempty"`
	// Slot is the place in the group's state of the order or reservation that it makes; -1: none.
	Slot int `json:"slot"`
	// Of is the slot of the order or reservation that it ends, and OfID its id; -1: none.
	Of   int   `json:"of"`
	OfID int64 `json:"ofId,omitempty"`
	// TTL is for how many seconds a reservation is asked for.
	TTL int64 `json:"ttl,omitempty"`
	// Expires is when the reservation that it makes or ends expires; 0: not known.
	Expires int64 `json:"expires,omitempty"`

	Call    int64   `json:"call"`
	Return  int64   `json:"return"`
	Outcome Outcome `json:"outcome"`
	Refusal string  `json:"refusal,omitempty"`
	// InLedger tells of an operation of unknown outcome, once the ledger was asked, whether it has
	// taken effect: "made" or "never".
	InLedger string `json:"inLedger,omitempty"`
	// Seen has one member for each item: the state after the operation, or the one that was read,
	// or for which it was refused.
	Seen   []Seen  `json:"seen,omitempty"`
	Shorts []Short `json:"shorts,omitempty"`
	// ServerID is that of the order or reservation that was made.
	ServerID int64 `json:"serverId,omitempty"`
	// Slots of Final: the letter of each order and reservation, ? where it is not known.
	Slots string `json:"slots,omitempty"`
	// MinVersion is what a read asked for; 0: nothing.
	MinVersion int64     `json:"minVersion,omitempty"`
	Attempts   []Attempt `json:"attempts,omitempty"`
}

// Start is the state of a product at the start of its group.
type Start struct {
	ID    int64 `json:"id"`
	Stock int64 `json:"stock"`
}

// Group is a few products whose clients use no others. Orders and reservations lie within a group,
// so a group's history can be judged alone.
type Group struct {
	Name     string       `json:"name"`
	Products []Start      `json:"products"`
	Slots    int          `json:"slots"`
	Ops      []*Operation `json:"ops"`
	Ledger   []*Movement  `json:"ledger"`
	// LooseReads are intervals in which a read may be older than the last acknowledged change.
	LooseReads []Window `json:"looseReads"`
	Faults     []Window `json:"faults"`
}

// Window is an interval of time, in nanoseconds since the start of the run.
type Window struct {
	From int64  `json:"from"`
	To   int64  `json:"to"`
	What string `json:"what"`
}

// Movement is a row of the ledger.
type Movement struct {
	Product       int64   `json:"product_id"`
	Version       int64   `json:"version"`
	Kind          string  `json:"kind"`
	Delta         int64   `json:"delta"`
	StockAfter    int64   `json:"stock_after"`
	ReservedDelta int64   `json:"reserved_delta"`
	ReservedAfter int64   `json:"reserved_after"`
	Reason        *string `json:"reason"`
	OrderID       *int64  `json:"order_id"`
	ReservationID *int64  `json:"reservation_id"`

	owner *Operation
}

// windowsSince gives those that were not over at that time.
func windowsSince(windows []Window, from int64) []Window {
	var since []Window
	for _, w := range windows {
		if w.To >= from {
			since = append(since, w)
		}
	}
	return since
}

func save(path string, history any) error {
	text, err := json.MarshalIndent(history, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

func loadGroup(path string) (*Group, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	g := new(Group)
	return g, json.Unmarshal(text, g)
}
