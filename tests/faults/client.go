package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"strings"
	"time"
)

// An answer to one request, or why there is none.
type answer struct {
	status   int
	problem  string // the last part of the problem's type
	detail   string
	replayed bool
	header   http.Header
	body     []byte
	err      error
}

func (a answer) isStale() bool {
	return strings.Contains(a.header.Get("Cache-Status"), "detail=stale")
}

// certainty says what an answer tells about the change that was asked for.
type certainty int

const (
	isDone     certainty = iota // it was made, or refused: the answer is the operation's
	isNotMade                   // certainly nothing was changed by this request
	isDoubtful                  // it may have been made
	isWrong                     // no answer that this service may give
)

func (a answer) certainty() certainty {
	switch {
	case a.err != nil:
		return isDoubtful
	case a.status == 200 || a.status == 201 || a.status == 412:
		return isDone
	case a.status == 409 && a.problem == "key-in-use":
		return isDoubtful // its first request is running
	case a.status == 409:
		return isDone
	case a.status == 503 && strings.Contains(a.detail, "nothing was changed"):
		return isNotMade
	case a.status == 503:
		return isDoubtful // the service says so, or the edge speaks for a service that is away
	}
	return isWrong
}

func (a answer) String() string {
	if a.err != nil {
		text := a.err.Error()
		return text[strings.LastIndex(text, ": ")+1:]
	}
	return strings.TrimSpace(fmt.Sprint(a.status, " ", a.problem))
}

type target struct{ name, url string }

// A client runs one operation after the other on the products of its group.
type client struct {
	run    *run
	id     int
	random *rand.Rand
	http   *http.Client
	crew   *crew
	last   [groupMax]int64 // the newest version that it knows of each product
}

func newClient(r *run, c *crew, id int, seed int64) *client {
	return &client{
		run: r, id: id, crew: c,
		random: rand.New(rand.NewSource(seed)),
		http:   &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}},
	}
}

const (
	patience     = 8 * time.Second  // for one answer, as a rule
	giveUp       = 40 * time.Second // for an operation with all of its requests
	pauseOfRetry = 30 * time.Millisecond
)

func (c *client) request(method, url, body string, header map[string]string,
	limit time.Duration) answer {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewBufferString(body))
	if err != nil {
		panic(err)
	}
	// A body that cannot be read again keeps Go's client from repeating the request by itself.
	request.GetBody = nil
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header,
		replayed: response.Header.Get("Idempotency-Replayed") == "true"}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		return answer{err: err}
	}
	var problem struct{ Type, Detail string }
	if a.status >= 400 && json.Unmarshal(a.body, &problem) == nil {
		a.problem = problem.Type[strings.LastIndex(problem.Type, "/")+1:]
		a.detail = problem.Detail
	}
	return a
}

// how writes are asked for: path, body and header of an operation
func (c *client) form(op *Operation) (path, body string, header map[string]string) {
	header = map[string]string{}
	if op.Key != "" {
		header["Idempotency-Key"] = op.Key
	}
	if op.IfVersion != 0 {
		header["If-Match"] = fmt.Sprintf(`"%d"`, op.IfVersion)
	}
	group := c.crew.group
	switch op.Kind {
	case Set, Delta:
		field := map[Kind]string{Set: "stock", Delta: "delta"}[op.Kind]
		path = fmt.Sprintf("/api/products/%d/update-stock", group.Products[op.Items[0].Product].ID)
		body = fmt.Sprintf(`{"%s":%d,"reason":"%s"}`, field, op.Items[0].Qty, op.Reason)
	case Order:
		path, body = "/api/orders", fmt.Sprintf(`{"items":[%s]}`, c.itemsJSON(op))
	case Reserve:
		path = "/api/reservations"
		body = fmt.Sprintf(`{"items":[%s],"ttlSeconds":%d}`, c.itemsJSON(op), op.TTL)
	case Cancel:
		path = fmt.Sprintf("/api/orders/%d/cancel", op.OfID)
	case Confirm, Release:
		path = fmt.Sprintf("/api/reservations/%d/%s", op.OfID, op.Kind)
	}
	return path, body, header
}

func (c *client) itemsJSON(op *Operation) string {
	var parts []string
	for _, item := range op.Items {
		parts = append(parts, fmt.Sprintf(`{"productId":%d,"qty":%d}`,
			c.crew.group.Products[item.Product].ID, item.Qty))
	}
	return strings.Join(parts, ",")
}

// do runs a write until its outcome is known, or its client gives up. One without a key is asked
// for once, because a second request would be a second change.
func (c *client) do(op *Operation) {
	path, body, header := c.form(op)
	doubtful := false
	op.Call = c.run.now()
	for {
		target := c.run.anyWriter(c.random)
		limit := patience
		if op.Key != "" && c.random.Intn(25) == 0 {
			limit = time.Duration(1+c.random.Intn(20)) * time.Millisecond // an impatient client
		}
		at := c.run.now()
		a := c.request("POST", target.url+path, body, header, limit)
		op.Attempts = append(op.Attempts, Attempt{at, c.run.now() - at, target.name, a.String(),
			a.replayed})
		certainty := a.certainty()
		doubtful = doubtful || certainty == isDoubtful
		if certainty == isDone {
			op.Return = c.run.now()
			c.take(op, a)
			return
		}
		if certainty == isWrong {
			c.run.problem("%s %s: %s", op, a, a.body)
		}
		if op.Key == "" || c.run.now()-op.Call > int64(giveUp) || certainty == isWrong {
			break
		}
		time.Sleep(time.Duration(c.random.Int63n(int64(pauseOfRetry))))
	}
	op.Return = c.run.now()
	op.Outcome = NotMade
	if doubtful {
		op.Outcome = Unknown
	}
}

// body of an answer: that of every kind
type answerBody struct {
	ID        int64     `json:"id"`
	Stock     *int64    `json:"stock"`
	Version   *int64    `json:"version"`
	Reserved  *int64    `json:"reserved"`
	ExpiresAt time.Time `json:"expiresAt"`
	Items     []struct {
		ProductID int64  `json:"productId"`
		Qty       int64  `json:"qty"`
		Stock     *int64 `json:"stock"`
	} `json:"items"`
}

func orElse(number *int64, other int64) int64 {
	if number == nil {
		return other
	}
	return *number
}

// take reads what the answer to a write tells.
func (c *client) take(op *Operation, a answer) {
	var body answerBody
	if err := json.Unmarshal(a.body, &body); err != nil {
		c.run.problem("%s: %s: %s", op, err, a.body)
	}
	op.Outcome = Applied
	if a.status >= 400 {
		op.Outcome, op.Refusal = Refused, a.problem
	}
	if op.Kind == Set || op.Kind == Delta {
		seen := Seen{orElse(body.Stock, -1), -1, orElse(body.Version, -1)}
		op.Seen = []Seen{seen}
		c.learn(op.Items[0].Product, seen.Version)
		return
	}
	if op.Outcome == Refused {
		op.Shorts = c.shortsOf(body)
		return
	}
	if op.Kind == Order || op.Kind == Reserve || op.Kind == Confirm {
		op.ServerID = body.ID
	}
	if op.Kind == Reserve {
		op.Expires = c.run.at(body.ExpiresAt)
	}
	if op.Kind != Cancel && !c.hasItems(op, body) {
		c.run.problem("%s: other items: %s", op, a.body)
	}
}

func (c *client) shortsOf(body answerBody) []Short {
	var shorts []Short
	for _, item := range body.Items {
		if item.Stock != nil {
			shorts = append(shorts, Short{c.placeOf(item.ProductID), *item.Stock})
		}
	}
	return shorts
}

func (c *client) placeOf(id int64) int {
	for place, p := range c.crew.group.Products {
		if p.ID == id {
			return place
		}
	}
	return -1
}

func (c *client) hasItems(op *Operation, body answerBody) bool {
	told := map[Item]bool{}
	for _, item := range body.Items {
		told[Item{c.placeOf(item.ProductID), item.Qty}] = true
	}
	for _, item := range op.Items {
		if !told[item] {
			return false
		}
	}
	return len(told) == len(op.Items)
}

func (c *client) learn(place int, version int64) {
	if version > c.last[place] {
		c.last[place] = version
	}
}

// read asks for one product. Half of the reads ask for at least the version that the client knows.
func (c *client) read(place int, targets []target) *Operation {
	op := &Operation{Kind: Read, Items: []Item{{place, 0}}, Slot: -1, Of: -1}
	header := map[string]string{"Cache-Control": "no-cache"}
	if c.last[place] > 0 && c.random.Intn(2) == 0 {
		op.MinVersion = c.last[place]
		header["Min-Version"] = fmt.Sprint(op.MinVersion)
	}
	path := fmt.Sprintf("/api/products/%d", c.crew.group.Products[place].ID)
	if c.random.Intn(2) == 0 {
		path += "/stock"
	}
	target := targets[c.random.Intn(len(targets))]
	op.Call = c.run.now()
	a := c.request("GET", target.url+path, "", header, patience)
	op.Return = c.run.now()
	var body answerBody
	if a.isStale() { // while PostgreSQL is away it may lack what was acknowledged, and says so
		c.run.countReadFailed(a)
		return nil
	}
	if a.status != 200 || json.Unmarshal(a.body, &body) != nil || body.Version == nil {
		c.run.countReadFailed(a)
		return nil
	}
	op.Outcome = Applied
	op.Seen = []Seen{{orElse(body.Stock, -1), orElse(body.Reserved, -1), *body.Version}}
	op.Attempts = []Attempt{{op.Call, op.Return - op.Call, target.name, a.String(), false}}
	c.learn(place, *body.Version)
	return op
}
