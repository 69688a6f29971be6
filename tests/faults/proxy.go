package main

import (
	"bytes"
	"math/rand"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A proxy stands between a write-svc and PostgreSQL (or PgBouncer), and breaks connections in the
// moments that matter: around the COMMIT of a write.
//
// It needs no knowledge of the protocol but one: which message asks for a write. A write is one
// statement that is a transaction of its own, so its request carries the COMMIT as well.
type proxy struct {
	listener net.Listener
	upstream string

	mutex  sync.Mutex
	random *rand.Rand
	cut    cut
	left   int // how many writes are still to be cut
	share  int // of a hundred writes

	counts [cuts]int64
}

// cut is what happens to a write.
type cut int

const (
	noCut cut = iota
	// cutBefore: the request is lost, and the connection with it. Nothing is made.
	cutBefore
	// cutAtOnce: the request is sent on, and both connections are reset. It may be made.
	cutAtOnce
	// cutAnswer: the request is sent on, and its answer is lost: it is made, or refused.
	cutAnswer
	// cutLate: the connection of write-svc is reset, and the request arrives later.
	cutLate
	// cutSlow: the answer takes seconds.
	cutSlow
	cuts
)

var cutNames = [cuts]string{"none", "request lost", "reset after request", "answer lost",
	"request late", "answer slow"}

func newProxy(upstream string, seed int64) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, upstream: upstream, random: rand.New(rand.NewSource(seed))}
	go p.accept()
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) close() { p.listener.Close() }

// arm makes the proxy cut a share (of a hundred) of the next writes, at most `count` of them.
func (p *proxy) arm(what cut, count, share int) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.cut, p.left, p.share = what, count, share
}

// fate decides what happens to a write.
func (p *proxy) fate() cut {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.cut == noCut || p.left == 0 || p.random.Intn(100) >= p.share {
		return noCut
	}
	p.left--
	atomic.AddInt64(&p.counts[p.cut], 1)
	return p.cut
}

func (p *proxy) delay(from, to time.Duration) time.Duration {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	return from + time.Duration(p.random.Int63n(int64(to-from)))
}

func (p *proxy) accept() {
	for {
		down, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.serve(down.(*net.TCPConn))
	}
}

// A link is one connection of write-svc (down) with its own to PostgreSQL (up).
type link struct {
	proxy    *proxy
	down, up *net.TCPConn
	// what becomes of the next answer: a cut, read by the other direction
	answer int32
}

func (p *proxy) serve(down *net.TCPConn) {
	up, err := net.DialTimeout("tcp", p.upstream, 3*time.Second)
	if err != nil {
		reset(down)
		return
	}
	l := &link{proxy: p, down: down, up: up.(*net.TCPConn)}
	go l.answers()
	l.requests()
}

func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	conn.Close()
}

func (l *link) end() {
	reset(l.down)
	reset(l.up)
}

// isWrite: a call of write_batch, in a message of its own text or of a prepared statement's name.
// It looks at the first message of what came, because write-svc waits for one answer before it
// sends the next.
func isWrite(data []byte) bool {
	return bytes.Contains(data, []byte("write_batch(")) ||
		data[0] == 'B' && len(data) > 120
}

func (l *link) requests() {
	buffer := make([]byte, 1<<20)
	for {
		n, err := l.down.Read(buffer)
		if err != nil {
			l.end()
			return
		}
		data := buffer[:n]
		fate := noCut
		if isWrite(data) {
			fate = l.proxy.fate()
		}
		switch fate {
		case cutBefore:
			l.end()
			return
		case cutLate:
			l.late(data)
			return
		case cutAnswer, cutSlow:
			atomic.StoreInt32(&l.answer, int32(fate))
		}
		if _, err := l.up.Write(data); err != nil || fate == cutAtOnce {
			l.end()
			return
		}
	}
}

// late sends a request on when its sender has long heard that the connection is broken.
func (l *link) late(data []byte) {
	atomic.StoreInt32(&l.answer, int32(cutLate))
	reset(l.down)
	time.Sleep(l.proxy.delay(20*time.Millisecond, 2500*time.Millisecond))
	_, _ = l.up.Write(data)
	time.Sleep(3 * time.Second)
	reset(l.up)
}

func (l *link) answers() {
	buffer := make([]byte, 1<<20)
	for {
		n, err := l.up.Read(buffer)
		if err != nil {
			l.end()
			return
		}
		switch cut(atomic.SwapInt32(&l.answer, 0)) {
		case cutAnswer:
			l.end()
			return
		case cutSlow:
			time.Sleep(l.proxy.delay(500*time.Millisecond, 4*time.Second))
		case cutLate:
			atomic.StoreInt32(&l.answer, int32(cutLate))
			continue // nobody listens any more
		}
		if _, err := l.down.Write(buffer[:n]); err != nil {
			l.end()
			return
		}
	}
}
