package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"time"
)

// Judging reads. A *look* is one answer, a *sight* one product as an answer shows it, a *change*
// one version of a product. A change is committed between the moment in which it was sent and the
// one in which it was acknowledged, by the one clock of the clients. A sight is stale by the time
// from the acknowledgement of the first change that it lacks to the sending of its request.

// never is a moment that does not come.
const never = int64(1) << 62

// What a client asks for by Cache-Control.
const (
	askPlain   = "plain"
	askMaxAge  = "max-age=1"
	askNoCache = "no-cache"
)

// Forms of reads.
const (
	formProduct = "product"
	formStock   = "stock"
	formIDs     = "ids"
	formSKUs    = "skus"
	formList    = "list"
)

// Look is one answer.
type Look struct {
	Start      int64  `json:"start"` // nanoseconds since the start of the run, as all times here
	End        int64  `json:"end"`
	Target     string `json:"target"`
	Ask        string `json:"ask"`
	Form       string `json:"form"`
	Tier       string `json:"tier"` // the detail of Cache-Status
	Age        int64  `json:"age"`  // seconds; -1: not told
	MinVersion int64  `json:"minVersion,omitempty"`
	Status     int    `json:"status"` // 0: no answer
}

func (l *Look) isStale() bool { return l.Tier == "stale" }

// Sight is a product in an answer.
type Sight struct {
	*Look
	Product int64 `json:"product"`
	Version int64 `json:"version"` // 0: the answer says that there is no such product
	Stock   int64 `json:"stock"`   // -1: not shown
}

func (s *Sight) String() string {
	text := fmt.Sprintf("%s of product %d by %s, %s, from %.3f s to %.3f s: ", s.Form, s.Product,
		s.Target, s.Ask, seconds64(s.Start), seconds64(s.End))
	if s.MinVersion > 0 {
		text += fmt.Sprintf("Min-Version %d, ", s.MinVersion)
	}
	text += fmt.Sprintf("%d, version %d, stock %d, tier %s", s.Status, s.Version, s.Stock, s.Tier)
	if s.Age >= 0 {
		text += fmt.Sprintf(", Age %d", s.Age)
	}
	return text
}

func seconds64(nanoseconds int64) float64 { return time.Duration(nanoseconds).Seconds() }

// Change is a version of a product. All changes of a run's products leave different stocks, except
// those that do not touch it; so a version and its stock say which change it is.
type Change struct {
	Version int64  `json:"version"` // 0: its client was not told, and it is lost
	Stock   int64  `json:"stock"`
	Kind    string `json:"kind"` // as in the ledger: created, set, edited, deleted
	Sent    int64  `json:"sent"`
	Acked   int64  `json:"acked"` // never: it was not
	// known is when a client first knew that it is committed: by its acknowledgement, or because a
	// read showed it.
	known int64
}

// Subject is a product with all of its changes.
type Subject struct {
	ID      int64     `json:"id"`
	Changes []*Change `json:"changes"` // those of the ledger: versions 1, 2, ...
	// Lost are those that a failover has lost.
	Lost []*Change `json:"lost,omitempty"`
	// lacking[v] is when a client first knew of any change after version v.
	lacking []int64
}

// Failover is a moment in which commits were lost: those between the last one that the standby had,
// and the kill.
type Failover struct {
	Killed   int64 `json:"killed"`
	Promoted int64 `json:"promoted"`
}

// Promise is what the services promise; nanoseconds.
type Promise struct {
	Staleness int64 `json:"staleness"` // freshness.max_staleness_ms
	IfError   int64 `json:"ifError"`   // freshness.stale_if_error_ms
	// Listing is after how long a list knows which products there are, while nothing is broken.
	Listing int64 `json:"listing"`
	// Slack is for clocks that do not go alike.
	Slack int64 `json:"slack"`
}

// Views are the reads of a round, with all that they are judged by.
type Views struct {
	Name      string     `json:"name"`
	Promise   Promise    `json:"promise"`
	Subjects  []*Subject `json:"subjects"`
	Sights    []*Sight   `json:"sights"`
	Failed    []*Look    `json:"-"`
	Loose     []Window   `json:"loose"`
	Faults    []Window   `json:"faults"`
	Failovers []Failover `json:"failovers,omitempty"`

	byID map[int64]*Subject
}

// A finding is a broken rule, with all sights that break it near one kind of fault.
type finding struct {
	rule, fault, ask string
	count            int
	worst            int64
	sight            *Sight
}

func (f *finding) String() string {
	text := fmt.Sprintf("%s near %q: %d sights", f.rule, f.fault, f.count)
	if f.worst > 0 {
		text += fmt.Sprintf(", the worst is %.3f s old", seconds64(f.worst))
	}
	return text + ": " + f.sight.String()
}

// A tally counts the reads near one kind of fault.
type tally struct {
	Sights, Stale, Failed int
	Worst                 map[string]int64 // by what was asked; of answers not marked as stale
	WorstList             int64
}

// A review is what judging the views of one round, or of all, gives.
type review struct {
	findings map[[3]string]*finding
	tallies  map[string]*tally
	tiers    map[[2]string]int // looks by tier and ask
	strange  int               // sights of products that are not the run's
}

func newReview() *review {
	return &review{map[[3]string]*finding{}, map[string]*tally{}, map[[2]string]int{}, 0}
}

func (v *review) tally(fault string) *tally {
	if v.tallies[fault] == nil {
		v.tallies[fault] = &tally{Worst: map[string]int64{}}
	}
	return v.tallies[fault]
}

func (v *review) report(rule, fault string, s *Sight, staleness int64) {
	key := [3]string{rule, fault, s.Ask}
	f := v.findings[key]
	if f == nil {
		f = &finding{rule: rule, fault: fault, ask: s.Ask, sight: s}
		v.findings[key] = f
	}
	f.count++
	if staleness > f.worst {
		f.worst, f.sight = staleness, s
	}
}

// sorted gives what was found, the most frequent first.
func (v *review) sorted() []*finding {
	var list []*finding
	for _, f := range v.findings {
		list = append(list, f)
	}
	sort.Slice(list, func(i, j int) bool {
		return list[i].count > list[j].count ||
			list[i].count == list[j].count && list[i].String() < list[j].String()
	})
	return list
}

// judge compares every sight with the changes.
func (v *Views) judge() *review {
	found := newReview()
	v.prepare()
	looks := map[*Look]bool{}
	for _, s := range v.Sights {
		if subject := v.byID[s.Product]; subject == nil {
			found.strange++
		} else {
			v.judgeSight(found, subject, s)
		}
		if !looks[s.Look] {
			looks[s.Look] = true
			found.tiers[[2]string{s.Tier, s.Ask}]++
		}
	}
	for _, look := range v.Failed {
		found.tally(v.faultNear(look)).Failed++
	}
	return found
}

// prepare finds out when each change was known to be committed.
func (v *Views) prepare() {
	v.byID = map[int64]*Subject{}
	for _, subject := range v.Subjects {
		v.byID[subject.ID] = subject
		for _, c := range append(subject.Changes, subject.Lost...) {
			c.known = c.Acked
		}
	}
	for _, s := range v.Sights {
		if subject := v.byID[s.Product]; subject != nil && s.Stock >= 0 {
			c, _ := subject.find(s)
			if c != nil && s.End < c.known && s.End >= c.Sent {
				c.known = s.End
			}
		}
	}
	for _, subject := range v.Subjects {
		count := len(subject.Changes)
		subject.lacking = make([]int64, count+1)
		subject.lacking[count] = never
		for i := count - 1; i >= 0; i-- {
			subject.lacking[i] = earlier(subject.Changes[i].known, subject.lacking[i+1])
		}
	}
}

// find gives the change that a sight shows, unless that is none of the product's.
func (subject *Subject) find(s *Sight) (c *Change, isLost bool) {
	if s.Version >= 1 && s.Version <= int64(len(subject.Changes)) {
		c = subject.Changes[s.Version-1]
		isNotYet := s.Stock < 0 && s.End < c.Sent && len(subject.Lost) > 0
		if c.Kind != "deleted" && (s.Stock < 0 || c.Stock == s.Stock) && !isNotYet {
			return c, false
		}
	}
	c = subject.findLost(s)
	return c, c != nil
}

// findLost prefers the last of those that were sent before, because 304 does not tell which it is.
func (subject *Subject) findLost(s *Sight) (found *Change) {
	for _, c := range subject.Lost {
		isVersion := c.Version == s.Version || c.Version == 0
		isStock := s.Stock < 0 || c.Stock == s.Stock
		isBetter := found == nil || c.Sent > found.Sent && c.Sent <= s.End
		if isVersion && isStock && c.Kind != "deleted" && isBetter {
			found = c
		}
	}
	return found
}

// findAbsence gives the deletion that explains that a product is not there.
func (subject *Subject) findAbsence(s *Sight) (c *Change, isLost bool) {
	if count := len(subject.Changes); count > 0 {
		if c = subject.Changes[count-1]; c.Kind == "deleted" && s.End >= c.Sent {
			return c, false
		}
	}
	for _, c := range subject.Lost {
		if c.Kind == "deleted" && s.End >= c.Sent {
			return c, true
		}
	}
	return nil, false
}

func (v *Views) judgeSight(found *review, subject *Subject, s *Sight) {
	fault := v.faultNear(s.Look)
	tally := found.tally(fault)
	tally.Sights++
	if s.isStale() {
		tally.Stale++
	}
	if rule := v.judgeHeaders(s); rule != "" {
		found.report(rule, fault, s, 0)
	}
	if s.Status == 412 {
		if !subject.hasLost(s.MinVersion) {
			found.report("412 for a version that is committed", fault, s, 0)
		}
		return
	}
	staleness, rule := v.judgeState(subject, s)
	if rule != "" {
		found.report(rule, fault, s, staleness)
	}
	switch {
	case s.isStale():
	case s.isOfCatalog():
		tally.WorstList = later(tally.WorstList, staleness)
	default:
		tally.Worst[s.Ask] = later(tally.Worst[s.Ask], staleness)
	}
}

// hasLost: may this version be one that was lost?
func (subject *Subject) hasLost(version int64) bool {
	for _, c := range subject.Lost {
		if c.Version == version || c.Version == 0 {
			return true
		}
	}
	return false
}

// judgeHeaders gives the rule that an answer breaks by itself.
func (v *Views) judgeHeaders(s *Sight) string {
	age := s.Age * int64(time.Second)
	switch {
	case s.isStale() && s.Age < 0:
		return "a stale answer without Age"
	case s.isStale() && age > v.Promise.IfError:
		return "a stale answer above stale_if_error"
	case !s.isStale() && s.Tier != "db" && age > v.Promise.Staleness:
		return "an answer above the bound that is not marked as stale"
	}
	return ""
}

// judgeState gives how old a sight is, and the rule that it breaks.
func (v *Views) judgeState(subject *Subject, s *Sight) (staleness int64, rule string) {
	c, isLost := subject.find(s)
	version := s.Version
	if version == 0 {
		c, isLost = subject.findAbsence(s)
		if isLost {
			if _, broken := v.judgeLost(s, c); broken == "" {
				return 0, ""
			}
			c, isLost = nil, false // if its creation is lost, too, it is right all the same
		}
		if c != nil {
			version = c.Version
		} else if s.MinVersion > 0 && !subject.hasLost(s.MinVersion) {
			return 0, "no product, with a Min-Version that is committed"
		}
	}
	switch {
	case c == nil && version > 0:
		return 0, "a state that never was"
	case c != nil && s.End < c.Sent:
		return 0, "a state from before it was asked for"
	case version > 0 && version < s.MinVersion:
		return 0, "a state below Min-Version"
	case isLost:
		return v.judgeLost(s, c)
	}
	staleness = v.staleness(subject, s, version)
	switch limit := v.limit(s); {
	case staleness > limit:
		rule = s.Ask + " read older than promised"
		if s.isStale() {
			rule = "an answer that is older than its Age tells"
		}
	case s.Age >= 0 && staleness > s.ageLimit()+v.Promise.Slack:
		rule = "an answer that is older than its Age tells"
	}
	return staleness, rule
}

// judgeLost: a state that is lost may be seen until the bound after the failover, or, marked as
// stale, as long as its Age covers the time since.
func (v *Views) judgeLost(s *Sight, c *Change) (staleness int64, rule string) {
	limit := v.Promise.Staleness + v.Promise.Slack
	if s.isStale() {
		limit = s.ageLimit() + v.Promise.Slack
	}
	if since := s.Start - v.failoverOf(c).Promoted; since > limit {
		return since, "a state that a failover has lost"
	}
	return 0, ""
}

// staleness of a sight that shows a version of the ledger, or 0 for that there is no product yet.
func (v *Views) staleness(subject *Subject, s *Sight, version int64) int64 {
	known := subject.lacking[version]
	for _, c := range subject.Lost { // they were there until the old primary was gone
		if c.Version > version && s.End < v.failoverOf(c).Killed {
			known = earlier(known, c.known)
		}
	}
	return later(0, s.Start-known)
}

// ageLimit: Age is whole seconds, rounded down.
func (l *Look) ageLimit() int64 { return (l.Age + 1) * int64(time.Second) }

// limit is how old a sight may be.
func (v *Views) limit(s *Sight) int64 {
	limit := v.Promise.Staleness
	switch {
	case s.isStale():
		limit = s.ageLimit()
	case s.isOfCatalog() && s.Ask == askNoCache: // PostgreSQL alone tells which products there are
		return 0
	case s.Ask == askMaxAge:
		limit = earlier(limit, int64(time.Second))
	case s.isOfCatalog() && v.faultNear(s.Look) == noFault:
		limit = v.Promise.Listing
	case s.isOfCatalog(): // Age tells that it may be older
	case s.Ask == askNoCache && !v.isLoose(s.Look):
		return 0
	}
	return limit + v.Promise.Slack
}

// isOfCatalog: does a list show that it does not know of a product?
func (s *Sight) isOfCatalog() bool { return s.Form == formList && s.Version == 0 }

// isLoose: is it near a fault of Redis?
func (v *Views) isLoose(l *Look) bool {
	for _, w := range v.Loose {
		if l.Start <= w.To && l.End >= w.From {
			return true
		}
	}
	return false
}

// failoverOf gives the first failover that may have lost a change.
func (v *Views) failoverOf(c *Change) Failover {
	for _, f := range v.Failovers {
		if f.Killed >= c.Sent {
			return f
		}
	}
	return Failover{}
}

const (
	nearFault = int64(3 * time.Second)
	noFault   = "none"
)

// faultNear names the last fault that began before an answer came, unless it was over long before
// it was asked for.
func (v *Views) faultNear(l *Look) string {
	after := sort.Search(len(v.Faults), func(i int) bool { return v.Faults[i].From > l.End })
	if after > 0 && v.Faults[after-1].To+nearFault >= l.Start {
		return v.Faults[after-1].What
	}
	return noFault
}

// of gives the views of one product alone.
func (v *Views) of(product int64) *Views {
	only := *v
	only.Subjects, only.Sights = nil, nil
	for _, subject := range v.Subjects {
		if subject.ID == product {
			only.Subjects = append(only.Subjects, subject)
		}
	}
	for _, s := range v.Sights {
		if s.Product == product {
			only.Sights = append(only.Sights, s)
		}
	}
	return &only
}

// loadViews gives nil for a file that holds another kind of history.
func loadViews(path string) (*Views, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	v := new(Views)
	if err := json.Unmarshal(text, v); err != nil || v.Subjects == nil {
		return nil, err
	}
	return v, nil
}

func earlier(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func later(a, b int64) int64 { return -earlier(-a, -b) }
