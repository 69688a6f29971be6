package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// What PostgreSQL holds when a round is over.

type reservationRow struct {
	ID      int64     `json:"id"`
	Status  string    `json:"status"`
	Expires time.Time `json:"expires_at"`
	Ended   time.Time `json:"ended_at"`
}

// timeColumn shows a time as JSON knows it, whatever the session's time zone is.
func timeColumn(name string) string {
	return fmt.Sprintf(`to_char(%s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS %s`,
		name, name)
}

func (g *Group) idList() string {
	var ids []string
	for _, p := range g.Products {
		ids = append(ids, fmt.Sprint(p.ID))
	}
	return strings.Join(ids, ",")
}

// readEnd adds to a group what the service did by itself, and the state at the end.
func (r *run) readEnd(crew *crew) error {
	group, url := crew.group, r.place.sql()
	if err := r.findUnknown(group, url); err != nil {
		return err
	}
	rows, err := r.waitForExpiry(group, url)
	if err != nil {
		return err
	}
	r.addExpiries(group, rows)
	err = query(url, fmt.Sprintf(`SELECT product_id, version, kind, delta, stock_after,
		coalesce(reserved_delta, 0) AS reserved_delta, reason, order_id, reservation_id
		FROM stock_movements WHERE product_id IN (%s)`, group.idList()), &group.Ledger)
	if err != nil {
		return err
	}
	return r.addFinal(group, url, rows)
}

// findUnknown: a reservation whose client was never told of it is found by its key, because its
// expiry is to be explained.
func (r *run) findUnknown(group *Group, url string) error {
	for _, op := range group.Ops {
		if op.Kind != Reserve || op.Outcome != Unknown {
			continue
		}
		var kept []struct{ Result string }
		if err := query(url, fmt.Sprintf(
			"SELECT result FROM idempotency_keys WHERE key = '%s' AND outcome = 'applied'",
			op.Key), &kept); err != nil {
			return err
		}
		if len(kept) > 0 {
			var body answerBody
			if err := json.Unmarshal([]byte(kept[0].Result), &body); err != nil {
				return err
			}
			op.ServerID, op.Expires = body.ID, r.at(body.ExpiresAt)
		}
	}
	return nil
}

const expiryLimit = 15 * time.Second

// waitForExpiry waits until no reservation of the group is held that is due, and gives them all.
func (r *run) waitForExpiry(group *Group, url string) (rows []reservationRow, err error) {
	sql := fmt.Sprintf(`SELECT id, status, %s, %s FROM reservations WHERE id IN
		(SELECT reservation_id FROM reservation_items WHERE product_id IN (%s))`,
		timeColumn("expires_at"), timeColumn("coalesce(ended_at, expires_at)"), group.idList())
	sql = strings.Replace(sql, "AS coalesce(ended_at, expires_at)", "AS ended_at", 1)
	for until := time.Now().Add(expiryLimit); ; time.Sleep(200 * time.Millisecond) {
		rows = nil
		if err = query(url, sql, &rows); err != nil {
			return nil, err
		}
		if !r.isOneDue(rows) {
			return rows, nil
		}
		if time.Now().After(until) {
			r.problem("%s: a reservation has not expired %s after its time", group.Name, expiryLimit)
			return rows, nil
		}
	}
}

// isOneDue: is one held that expires within the seconds of the round's end?
func (r *run) isOneDue(rows []reservationRow) bool {
	for _, row := range rows {
		if row.Status == "HELD" && time.Until(row.Expires) < 10*time.Second {
			return true
		}
	}
	return false
}

func makersOf(group *Group, kind Kind) map[int64]*Operation {
	makers := map[int64]*Operation{}
	for _, op := range group.Ops {
		if op.Kind == kind && op.ServerID != 0 {
			makers[op.ServerID] = op
		}
	}
	return makers
}

func (r *run) addExpiries(group *Group, rows []reservationRow) {
	makers := makersOf(group, Reserve)
	for _, row := range rows {
		maker := makers[row.ID]
		if maker == nil {
			r.problem("%s: reservation %d is nobody's", group.Name, row.ID)
			continue
		}
		if row.Status != "EXPIRED" {
			continue
		}
		if late := row.Ended.Sub(row.Expires); late > r.stats.latest {
			r.stats.latest = late
		}
		group.Ops = append(group.Ops, &Operation{
			ID: len(group.Ops), Client: clientsOfCrew, Kind: Expire, Items: maker.Items,
			Slot: -1, Of: maker.Slot, OfID: row.ID, Expires: r.at(row.Expires),
			Call: r.at(row.Expires) - int64(clockSlack), Return: r.now(), Outcome: Applied,
		})
	}
}

// addFinal adds the state of the products, orders and reservations.
func (r *run) addFinal(group *Group, url string, reservations []reservationRow) error {
	final := &Operation{ID: len(group.Ops), Client: clientsOfCrew, Kind: Final, Slot: -1, Of: -1,
		Outcome: Applied, Call: r.now()}
	var products []struct{ ID, Stock, Reserved, Version int64 }
	if err := query(url, fmt.Sprintf(`SELECT id, stock, reserved, version FROM products
		WHERE id IN (%s) ORDER BY id`, group.idList()), &products); err != nil {
		return err
	}
	for place, p := range products {
		final.Items = append(final.Items, Item{Product: place})
		final.Seen = append(final.Seen, Seen{p.Stock, p.Reserved, p.Version})
	}
	letters := []byte(strings.Repeat("?", group.Slots))
	for _, op := range group.Ops {
		if op.Slot >= 0 && op.Outcome != Applied && op.Outcome != Unknown {
			letters[op.Slot] = notMade
		}
	}
	makers := makersOf(group, Reserve)
	for _, row := range reservations {
		if maker := makers[row.ID]; maker != nil {
			letters[maker.Slot] = map[string]byte{"HELD": held, "CONFIRMED": confirmed,
				"RELEASED": released, "EXPIRED": expired}[row.Status]
		}
	}
	if err := r.addOrders(group, url, letters); err != nil {
		return err
	}
	final.Slots, final.Return = string(letters), r.now()
	group.Ops = append(group.Ops, final)
	return nil
}

func (r *run) addOrders(group *Group, url string, letters []byte) error {
	var orders []struct {
		ID     int64
		Status string
	}
	if err := query(url, fmt.Sprintf(`SELECT id, status FROM orders WHERE id IN
		(SELECT order_id FROM order_items WHERE product_id IN (%s))`, group.idList()),
		&orders); err != nil {
		return err
	}
	makers, confirms := makersOf(group, Order), makersOf(group, Confirm)
	for _, row := range orders {
		maker := makers[row.ID]
		if maker == nil {
			maker = confirms[row.ID]
		}
		if maker != nil {
			letters[maker.Slot] = map[string]byte{"CREATED": ordered, "CANCELLED": cancelled}[row.Status]
		}
	}
	return nil
}
