package main

import (
	"net"
	"sync"
	"time"
)

// A pipe is the way from one service to one store. It knows no protocol: it lets bytes pass, at
// once, late or not at all, or resets connections.
type pipe struct {
	listener net.Listener
	upstream string

	mutex   sync.Mutex
	changed *sync.Cond
	flow    flow
	delay   time.Duration
	ends    map[*net.TCPConn]bool
}

type flow int

const (
	flowing flow = iota
	// stuck: connections are made and stay, and nothing passes until it flows again.
	stuck
	// torn: connections are reset, new ones too.
	torn
)

func newPipe(upstream string) (*pipe, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &pipe{listener: listener, upstream: upstream, ends: map[*net.TCPConn]bool{}}
	p.changed = sync.NewCond(&p.mutex)
	go p.accept()
	return p, nil
}

func (p *pipe) address() string { return p.listener.Addr().String() }

// set changes how bytes flow, each chunk of them later by the delay.
func (p *pipe) set(flow flow, delay time.Duration) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.flow, p.delay = flow, delay
	if flow == torn {
		for end := range p.ends {
			reset(end)
		}
	}
	p.changed.Broadcast()
}

func (p *pipe) close() {
	p.listener.Close()
	p.set(torn, 0)
}

func (p *pipe) accept() {
	for {
		down, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.serve(down.(*net.TCPConn))
	}
}

func (p *pipe) serve(down *net.TCPConn) {
	if !p.keep(down) {
		reset(down)
		return
	}
	up, err := net.DialTimeout("tcp", p.upstream, 3*time.Second)
	if err != nil {
		p.end(down)
		return
	}
	if !p.keep(up.(*net.TCPConn)) {
		reset(up.(*net.TCPConn))
		p.end(down)
		return
	}
	go p.carry(down, up.(*net.TCPConn))
	p.carry(up.(*net.TCPConn), down)
}

func (p *pipe) keep(end *net.TCPConn) bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.flow == torn {
		return false
	}
	p.ends[end] = true
	return true
}

func (p *pipe) end(end *net.TCPConn) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	delete(p.ends, end)
	reset(end)
}

func (p *pipe) carry(from, to *net.TCPConn) {
	defer p.end(to)
	defer p.end(from)
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil || !p.wait() {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// wait returns when bytes may pass; false: they are lost.
func (p *pipe) wait() bool {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.delay > 0 {
		delay := p.delay
		p.mutex.Unlock()
		time.Sleep(delay)
		p.mutex.Lock()
	}
	for p.flow == stuck {
		p.changed.Wait()
	}
	return p.flow == flowing
}
