package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A shop is the products of one round of reads, with all that its clients do to them and see.
type shop struct {
	run  *run
	name string

	mutex    sync.Mutex
	products []*ware
	byID     map[int64]*ware
	writes   []*write
	views    Views
	// isPlain: no client asks with no-cache, because such reads bring other caches up to date.
	isPlain bool
}

// A ware is a product as the clients know it.
type ware struct {
	id      int64
	sku     string // "": none
	stock   int64  // with which it was made
	sent    int64
	acked   int64
	version int64 // the newest that a client knows to be committed
	leaving bool  // its deletion was asked for
}

// A write is one change that a client asked for, once.
type write struct {
	change  Change
	name    string // its reason in the ledger, or the name of the product that it creates
	product int64  // 0: of a creation that was not acknowledged
	sku     string
	isMade  bool // it was acknowledged
	isNever bool // its answer says that nothing was changed
}

const (
	hotProducts  = 4
	coldProducts = 150
	shopWriters  = 10
	shopReaders  = 14
	perPage      = 50
)

// A visitor is a client of a shop.
type visitor struct {
	client
	shop *shop
}

func newVisitor(s *shop, id int, seed int64) *visitor {
	return &visitor{shop: s, client: client{run: s.run, id: id,
		random: rand.New(rand.NewSource(seed)),
		http:   &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}}}
}

// add makes a product known; its clients may read it from now on. After a failover its id may be
// that of a product whose creation was lost.
func (s *shop) add(w *ware) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if lost := s.byID[w.id]; lost != nil {
		lost.sku = w.sku
		return
	}
	s.products = append(s.products, w)
	s.byID[w.id] = w
}

// nameOf gives how a form of read names a product; "" when it has no such name.
func (s *shop) nameOf(w *ware, form string) string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if form == formSKUs {
		return w.sku
	}
	return fmt.Sprint(w.id)
}

// any gives a hot product more often than the others.
func (v *visitor) any() *ware {
	v.shop.mutex.Lock()
	defer v.shop.mutex.Unlock()
	if v.random.Intn(3) > 0 {
		return v.shop.products[v.random.Intn(hotProducts)]
	}
	return v.shop.products[v.random.Intn(len(v.shop.products))]
}

func (s *shop) learn(id, version int64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if w := s.byID[id]; w != nil && version > w.version {
		w.version = version
	}
}

// -- writes

// write makes one change after the other.
func (v *visitor) write(until time.Time) {
	for number := 0; time.Now().Before(until); number++ {
		op := &write{name: fmt.Sprintf("%s/%d.%d", v.shop.name, v.id, number)}
		op.change = Change{Stock: int64(1000000 + number*shopWriters + v.id), Acked: never}
		method, path, body := v.choose(op)
		v.ask(op, method, path, body)
		time.Sleep(time.Duration(v.random.Int63n(int64(60 * time.Millisecond))))
	}
	v.http.CloseIdleConnections()
}

func (v *visitor) choose(op *write) (method, path, body string) {
	w := v.any()
	op.product = w.id
	switch n := v.random.Intn(100); {
	case n < 6:
		op.product, op.change.Kind = 0, "created"
		op.sku = strings.ReplaceAll(op.name, "/", "-")
		return "POST", "/api/catalog/products", fmt.Sprintf(
			`{"name":"%s","price":1.5,"stock":%d,"sku":"%s"}`, op.name, op.change.Stock, op.sku)
	case n < 11 && v.mayDelete(w):
		op.change.Kind = "deleted"
		return "DELETE", fmt.Sprintf("/api/catalog/products/%d", w.id), ""
	case n < 16 && v.run.mayEdit:
		op.change.Kind = "edited"
		return "PATCH", fmt.Sprintf("/api/catalog/products/%d", w.id),
			fmt.Sprintf(`{"price":%d}`, 1+v.random.Intn(1000))
	}
	op.change.Kind = "set"
	return "POST", fmt.Sprintf("/api/products/%d/update-stock", w.id),
		fmt.Sprintf(`{"stock":%d,"reason":"%s"}`, op.change.Stock, op.name)
}

// mayDelete: not a hot one, and each once.
func (v *visitor) mayDelete(w *ware) bool {
	v.shop.mutex.Lock()
	defer v.shop.mutex.Unlock()
	for _, hot := range v.shop.products[:hotProducts] {
		if hot == w {
			return false
		}
	}
	isFirst := !w.leaving
	w.leaving = true
	return isFirst
}

func (v *visitor) ask(op *write, method, path, body string) {
	op.change.Sent = v.run.now()
	a := v.request(method, v.run.anyWriter(v.random).url+path, body, nil, patience)
	now := v.run.now()
	var told struct{ ID, Version int64 }
	switch {
	case a.err == nil && a.status >= 200 && a.status < 300:
		op.isMade, op.change.Acked = true, now
		if a.status != 204 && json.Unmarshal(a.body, &told) != nil {
			v.run.problem("%s: %s", op.name, a.body)
		}
	case a.status == 404 || a.status == 503 && strings.Contains(a.detail, "nothing was changed"):
		op.isNever = true
	case a.err == nil && a.status != 503:
		v.run.problem("%s %s %s was answered with %s: %s", method, path, body, a, a.body)
	}
	op.change.Version = told.Version
	v.shop.mutex.Lock()
	v.shop.writes = append(v.shop.writes, op)
	v.shop.mutex.Unlock()
	if op.isMade && op.change.Kind == "created" {
		op.product = told.ID
		v.shop.add(&ware{id: told.ID, sku: op.sku, stock: op.change.Stock, sent: op.change.Sent,
			acked: now, version: 1})
	} else if told.Version > 0 {
		v.shop.learn(op.product, told.Version)
	}
}

// -- reads

func (v *visitor) read(until time.Time) {
	for time.Now().Before(until) {
		v.readOne(v.run.readers[v.random.Intn(len(v.run.readers))], "", "")
		time.Sleep(time.Duration(v.random.Int63n(int64(12 * time.Millisecond))))
	}
	v.http.CloseIdleConnections()
}

func (v *visitor) chooseForm() string {
	switch n := v.random.Intn(100); {
	case n < 35:
		return formProduct
	case n < 65:
		return formStock
	case n < 80:
		return formIDs
	case n < 85:
		return formSKUs
	}
	return formList
}

func (v *visitor) chooseAsk() string {
	switch n := v.random.Intn(10); {
	case n < 5:
		return askPlain
	case n < 7 || v.shop.isPlain:
		return askMaxAge
	}
	return askNoCache
}

// readOne sends a read and keeps what it sees; false: it failed. "" chooses.
func (v *visitor) readOne(at target, form, ask string) bool {
	if form == "" {
		form = v.chooseForm()
	}
	if ask == "" {
		ask = v.chooseAsk()
	}
	look := &Look{Target: at.name, Form: form, Ask: ask}
	switch form {
	case formProduct, formStock:
		return v.readSingle(at, look, v.any())
	case formList:
		v.shop.mutex.Lock()
		first, last := v.shop.products[0].id, v.shop.products[len(v.shop.products)-1].id
		v.shop.mutex.Unlock()
		return v.readPage(at, look, first-1+v.random.Int63n(last-first+1))
	}
	var wares []*ware
	for i := 0; i < 8; i++ {
		wares = append(wares, v.any())
	}
	return v.readSome(at, look, wares)
}

// get asks; the answer's times and headers go into the look.
func (v *visitor) get(at target, look *Look, path string, header map[string]string) answer {
	if header == nil {
		header = map[string]string{}
	}
	if look.Ask != askPlain {
		header["Cache-Control"] = look.Ask
	}
	if look.MinVersion > 0 {
		header["Min-Version"] = fmt.Sprint(look.MinVersion)
	}
	look.Start = v.run.now()
	a := v.request("GET", at.url+path, "", header, patience)
	look.End, look.Status, look.Age = v.run.now(), a.status, -1
	status := a.header.Get("Cache-Status")
	if i := strings.Index(status, "detail="); i >= 0 {
		look.Tier = status[i+len("detail="):]
	} else {
		look.Tier = status
	}
	if age, err := strconv.ParseInt(a.header.Get("Age"), 10, 64); err == nil {
		look.Age = age
	}
	return a
}

func (s *shop) keep(sights ...*Sight) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.views.Sights = append(s.views.Sights, sights...)
}

// failed counts an answer that shows nothing. One that no outage explains is a problem.
func (s *shop) failed(look *Look, a answer) bool {
	s.mutex.Lock()
	s.views.Failed = append(s.views.Failed, look)
	s.mutex.Unlock()
	s.run.countReadFailed(a)
	if a.err == nil && a.status != 503 && a.status != 504 {
		s.run.problem("a read was answered with %s: %s", a, a.body)
	}
	return false
}

func (v *visitor) readSingle(at target, look *Look, w *ware) bool {
	path := fmt.Sprintf("/api/products/%d", w.id)
	if look.Form == formStock {
		path += "/stock"
	}
	header := map[string]string{}
	v.shop.mutex.Lock()
	known := w.version
	v.shop.mutex.Unlock()
	switch v.random.Intn(8) {
	case 0, 1:
		look.MinVersion = known
	case 2:
		header["If-None-Match"] = fmt.Sprintf(`"%d"`, known)
	}
	a := v.get(at, look, path, header)
	sight := &Sight{look, w.id, 0, -1}
	switch {
	case a.err == nil && a.status == 200:
		var body struct{ ID, Version, Stock int64 }
		if json.Unmarshal(a.body, &body) != nil || body.ID != w.id {
			return v.shop.failed(look, a)
		}
		sight.Version, sight.Stock = body.Version, body.Stock
		v.shop.learn(w.id, body.Version)
	case a.err == nil && a.status == 304:
		sight.Version = known
	case a.err == nil && (a.status == 404 || a.status == 412):
	default:
		return v.shop.failed(look, a)
	}
	v.shop.keep(sight)
	return true
}

// listBody is that of all lists.
type listBody struct {
	Data    []struct{ ID, Version, Stock int64 }
	Missing []interface{}
	Meta    struct{ Next *int64 }
}

func (v *visitor) list(at target, look *Look, path string) (*listBody, bool) {
	a := v.get(at, look, path, nil)
	body := new(listBody)
	if a.err != nil || a.status != 200 || json.Unmarshal(a.body, body) != nil {
		return nil, v.shop.failed(look, a)
	}
	for _, p := range body.Data {
		v.shop.keep(&Sight{look, p.ID, p.Version, p.Stock})
		v.shop.learn(p.ID, p.Version)
	}
	return body, true
}

// readSome asks for products by their ids, or those of them that have SKUs by these.
func (v *visitor) readSome(at target, look *Look, wares []*ware) bool {
	byName := map[string]*ware{}
	var names []string
	for _, w := range wares {
		name := v.shop.nameOf(w, look.Form)
		if name != "" && byName[name] == nil {
			byName[name] = w
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return true
	}
	path := "/api/stock?ids="
	if look.Form == formSKUs {
		path = "/api/stock?skus="
	}
	body, isOK := v.list(at, look, path+strings.Join(names, ","))
	if !isOK {
		return false
	}
	for _, missing := range body.Missing {
		name := fmt.Sprint(missing)
		if number, isNumber := missing.(float64); isNumber {
			name = fmt.Sprint(int64(number))
		}
		if w := byName[name]; w == nil {
			v.run.problem("%s: %q is missing, and was not asked for", path, name)
		} else if v.shop.nameOf(w, look.Form) == name {
			v.shop.keep(&Sight{look, w.id, 0, -1})
		}
	}
	if len(body.Data)+len(body.Missing) != len(names) {
		v.run.problem("%s%s: %d products and %d missing", path, strings.Join(names, ","),
			len(body.Data), len(body.Missing))
	}
	return true
}

// readPage asks for a page of the list, and notes the products too that it should hold and lacks.
func (v *visitor) readPage(at target, look *Look, after int64) bool {
	v.shop.mutex.Lock()
	known := append([]*ware{}, v.shop.products...)
	v.shop.mutex.Unlock()
	body, isOK := v.list(at, look, fmt.Sprintf("/api/products?after=%d&limit=%d", after, perPage))
	if !isOK {
		return false
	}
	shown := map[int64]bool{}
	for _, p := range body.Data {
		shown[p.ID] = true
	}
	for _, w := range known {
		isInside := w.id > after && (body.Meta.Next == nil || w.id <= *body.Meta.Next)
		if isInside && !shown[w.id] {
			v.shop.keep(&Sight{look, w.id, 0, -1})
		}
	}
	return true
}
