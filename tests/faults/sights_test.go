package main

import (
	"strings"
	"testing"
	"time"
)

// The judge of reads is worth something only if it refuses what is wrong. Each case is a product
// with its changes, and one sight; times are in milliseconds.

const ms = int64(time.Millisecond)

// A scene has product 7: made with stock 5 at 0 ms, set to 11 between 1,000 and 1,010 ms, to 12
// between 2,000 and 2,010 ms.
func newScene() *Views {
	subject := &Subject{ID: 7}
	v := &Views{Name: "scene", Subjects: []*Subject{subject}, Promise: Promise{
		Staleness: 2000 * ms, IfError: 10000 * ms, Listing: 1000 * ms, Slack: 50 * ms}}
	v.change("created", 5, 0, 0)
	v.change("set", 11, 1000, 1010)
	v.change("set", 12, 2000, 2010)
	return v
}

func (v *Views) change(kind string, stock, sent, acked int64) {
	subject := v.Subjects[0]
	subject.Changes = append(subject.Changes, &Change{Version: int64(len(subject.Changes) + 1),
		Stock: stock, Kind: kind, Sent: sent * ms, Acked: acked * ms})
}

// see adds a plain read that took a millisecond; version 0: it is not there.
func (v *Views) see(at, version, stock int64) *Sight {
	s := &Sight{&Look{Start: at * ms, End: (at + 1) * ms, Target: "read-1", Ask: askPlain,
		Form: formProduct, Tier: "l1", Age: -1, Status: 200}, 7, version, stock}
	v.Sights = append(v.Sights, s)
	return s
}

func (s *Sight) marked(age int64) *Sight {
	s.Tier, s.Age = "stale", age
	return s
}

func (s *Sight) by(ask string) *Sight {
	s.Ask = ask
	return s
}

func (v *Views) refuses(t *testing.T, rule string) {
	t.Helper()
	found := v.judge().sorted()
	for _, f := range found {
		if strings.Contains(f.String(), rule) {
			return
		}
	}
	t.Errorf("expected %q, found %v", rule, found)
}

func (v *Views) accepts(t *testing.T) {
	t.Helper()
	for _, f := range v.judge().sorted() {
		t.Errorf("refused: %s", f)
	}
}

// -- right reads

func TestAcceptsReadsWithinTheBound(t *testing.T) {
	v := newScene()
	v.see(500, 1, 5)
	v.see(1005, 1, 5).by(askNoCache)
	v.see(1005, 2, 11).by(askNoCache)
	v.see(1900, 2, 11).by(askMaxAge)
	v.see(2050, 1, 5).by(askMaxAge)
	v.see(3000, 1, 5)
	v.see(3900, 2, 11)
	v.see(2011, 3, 12).by(askNoCache)
	v.accepts(t)
}

func TestAcceptsStaleReadsThatSaySo(t *testing.T) {
	v := newScene()
	v.see(9000, 1, 5).marked(7)
	v.see(9000, 2, 11).marked(10).by(askNoCache)
	v.accepts(t)
}

func TestAcceptsNoCacheReadNearFaultOfRedisWithinTheBound(t *testing.T) {
	v := newScene()
	v.Loose = []Window{{2000 * ms, 4000 * ms, "FLUSHALL"}}
	v.see(3900, 2, 11).by(askNoCache)
	v.accepts(t)
}

func TestAcceptsAbsence(t *testing.T) {
	v := newScene()
	v.change("deleted", 12, 5000, 5010)
	v.see(5005, 0, -1)
	v.see(9000, 0, -1).by(askNoCache)
	v.see(6500, 3, 12)
	v.accepts(t)
}

func TestAcceptsListThatKnowsOfAProductLater(t *testing.T) {
	v := newScene()
	v.see(900, 0, -1).Form = formList
	v.Faults = []Window{{1500 * ms, 1600 * ms, "kill -9 postgres"}}
	v.see(1900, 0, -1).Form = formList
	v.accepts(t)
}

func TestAcceptsLostStateUntilTheBound(t *testing.T) {
	v := newScene()
	v.lose(13, 2900, 2950)
	v.see(2960, 4, 13).by(askNoCache)
	v.see(2960, 3, 12)
	v.see(5100, 4, 13)
	v.see(9000, 4, 13).marked(6)
	v.change("set", 14, 6000, 6010) // another version 4
	v.see(7000, 4, 14)
	v.accepts(t)
}

// lose adds a change that the failover from 3,000 to 3,100 ms loses.
func (v *Views) lose(stock, sent, acked int64) {
	v.Failovers = []Failover{{3000 * ms, 3100 * ms}}
	v.Subjects[0].Lost = append(v.Subjects[0].Lost, &Change{Version: 4, Stock: stock, Kind: "set",
		Sent: sent * ms, Acked: acked * ms})
}

func TestAcceptsThatALostProductIsNotThere(t *testing.T) {
	v := &Views{Subjects: []*Subject{{ID: 7}}, Promise: newScene().Promise}
	v.lose(5, 2900, 2950)
	v.Subjects[0].Lost[0].Version = 1
	v.see(3200, 0, -1).MinVersion = 1
	deletion := &Change{Version: 2, Stock: 5, Kind: "deleted", Sent: 2960 * ms, Acked: 2970 * ms}
	v.Subjects[0].Lost = append(v.Subjects[0].Lost, deletion)
	v.see(9000, 0, -1)
	v.accepts(t)
}

func TestAcceptsAnyOfTheLostStatesThat304MayShow(t *testing.T) {
	v := newScene()
	v.lose(13, 2800, 2850)
	v.lose(14, 8900, 8950)
	v.Subjects[0].Lost[0].Version = 0
	v.Failovers = append(v.Failovers, Failover{9000 * ms, 9100 * ms})
	v.see(9200, 4, -1)
	v.see(2900, 4, -1)
	v.accepts(t)
}

// -- planted bugs

func TestRefusesReadBeyondTheBound(t *testing.T) {
	v := newScene()
	v.see(3200, 1, 5)
	v.refuses(t, "plain read older than promised")
}

func TestRefusesReadThatLacksAChangeThatWasOnlySeen(t *testing.T) {
	v := newScene()
	v.change("set", 13, 3000, 0)
	v.Subjects[0].Changes[3].Acked = never
	v.see(3500, 4, 13)
	v.see(6000, 3, 12)
	v.refuses(t, "plain read older than promised")
}

func TestRefusesOldReadWithMaxAge(t *testing.T) {
	v := newScene()
	v.see(2500, 1, 5).by(askMaxAge)
	v.refuses(t, "max-age=1 read older than promised")
}

func TestRefusesNoCacheReadThatLacksAnAcknowledgedChange(t *testing.T) {
	v := newScene()
	v.see(1011, 1, 5).by(askNoCache)
	v.refuses(t, "no-cache read older than promised")
}

func TestRefusesNoCacheReadBeyondTheBoundNearFaultOfRedis(t *testing.T) {
	v := newScene()
	v.Loose = []Window{{1000 * ms, 4000 * ms, "FLUSHALL"}}
	v.see(3200, 1, 5).by(askNoCache)
	v.refuses(t, "no-cache read older than promised")
}

func TestRefusesSightBelowMinVersion(t *testing.T) {
	v := newScene()
	v.see(2100, 2, 11).MinVersion = 3
	v.refuses(t, "below Min-Version")
}

func TestRefusesThatACommittedVersionIsNotThere(t *testing.T) {
	v := newScene()
	s := v.see(2100, 0, -1)
	s.MinVersion, s.Status = 3, 412
	v.refuses(t, "412 for a version that is committed")
}

func TestRefusesReadOfWhatWasNotAskedForYet(t *testing.T) {
	v := newScene()
	v.see(1990, 3, 12)
	v.refuses(t, "from before it was asked for")
}

func TestRefusesStateThatNeverWas(t *testing.T) {
	v := newScene()
	v.see(3000, 3, 13)
	v.refuses(t, "a state that never was")
}

func TestRefusesVersionThatNeverWas(t *testing.T) {
	v := newScene()
	v.see(3000, 4, 12)
	v.refuses(t, "a state that never was")
}

func TestRefusesAgeThatIsTooYoung(t *testing.T) {
	v := newScene()
	v.see(9000, 1, 5).marked(6)
	v.refuses(t, "older than its Age tells")
	v = newScene()
	v.see(2900, 1, 5).Age = 0
	v.refuses(t, "older than its Age tells")
}

func TestRefusesStaleReadsThatAreTooOld(t *testing.T) {
	v := newScene()
	v.see(9000, 1, 5).marked(11)
	v.refuses(t, "above stale_if_error")
	v = newScene()
	v.see(9000, 1, 5).marked(-1)
	v.refuses(t, "without Age")
	v = newScene()
	v.see(9000, 3, 12).Age = 3
	v.refuses(t, "not marked as stale")
}

func TestRefusesDeletedProductBeyondTheBound(t *testing.T) {
	v := newScene()
	v.change("deleted", 12, 5000, 5010)
	v.see(7100, 3, 12).Form = formList
	v.refuses(t, "plain read older than promised")
}

func TestRefusesAbsenceOfAProductThatIsThere(t *testing.T) {
	v := newScene()
	v.see(2100, 0, -1)
	v.refuses(t, "plain read older than promised")
	v = newScene()
	v.see(1100, 0, -1).Form = formList
	v.refuses(t, "plain read older than promised")
	v = newScene()
	v.see(1, 0, -1).by(askNoCache)
	v.refuses(t, "no-cache read older than promised")
	v = newScene()
	v.Loose = []Window{{0, 4000 * ms, "FLUSHALL"}}
	v.see(1, 0, -1).by(askNoCache).Form = formList
	v.refuses(t, "no-cache read older than promised")
}

func TestRefusesLostStateBeyondTheBound(t *testing.T) {
	v := newScene()
	v.lose(13, 2900, 2950)
	v.see(5200, 4, 13)
	v.refuses(t, "a state that a failover has lost")
	v = newScene()
	v.lose(13, 2900, 2950)
	v.see(9000, 4, 13).marked(4)
	v.refuses(t, "a state that a failover has lost")
}

func TestRefusesALostDeletionBeyondTheBound(t *testing.T) {
	v := newScene()
	v.lose(12, 2900, 2950)
	v.Subjects[0].Lost[0].Kind = "deleted"
	v.see(5000, 0, -1) // still within it
	v.see(5200, 0, -1)
	v.refuses(t, "plain read older than promised near \"none\": 1 sights")
}

func TestRefusesReadWithoutAChangeThatIsLostLater(t *testing.T) {
	v := newScene()
	v.lose(13, 2900, 2950)
	v.see(2960, 3, 12).by(askNoCache)
	v.refuses(t, "no-cache read older than promised")
}

// -- the ledger

func newTestShop() *shop {
	s := &shop{run: &run{}, name: "shop", byID: map[int64]*ware{}}
	s.add(&ware{id: 7, version: 1})
	return s
}

func TestExplainsWrites(t *testing.T) {
	s := newTestShop()
	for _, kind := range []string{"set", "edited", "deleted"} {
		s.writes = append(s.writes, &write{name: kind, product: 7, isMade: kind != "deleted",
			change: Change{Kind: kind, Acked: never}})
	}
	s.writes[1].change.Version = 3
	problems := s.explain([]shopMovement{{7, "shop", 1, 5, "created", ""}, {7, "shop", 2, 6, "set",
		"set"}, {7, "shop", 3, 6, "edited", ""}, {7, "shop", 4, 6, "deleted", ""}})
	if len(problems) > 0 || len(s.views.Subjects) != 1 || len(s.views.Subjects[0].Changes) != 4 {
		t.Error(problems, s.views.Subjects)
	}
}

func TestRefusesLedgersThatAreWrong(t *testing.T) {
	made := shopMovement{7, "shop", 1, 5, "created", ""}
	for want, rows := range map[string][]shopMovement{
		"not asked for":                  {made, {7, "shop", 2, 6, "set", "other"}},
		"acknowledged and not in the le": {made},
		"version 3 after 1":              {made, {7, "shop", 3, 6, "set", "set"}},
	} {
		s := newTestShop()
		s.writes = []*write{{name: "set", product: 7, isMade: true, change: Change{Kind: "set"}}}
		if found := strings.Join(s.explain(rows), "\n"); !strings.Contains(found, want) {
			t.Errorf("expected %q, found %q", want, found)
		}
	}
}
