package httpx

import (
	"io"
	"sync"
)

// pipeWindow is how many bytes may lie unread in a pipe: as much as HTTP/2 lets lie in a stream.
const pipeWindow = 64 << 10

// pipe carries an answer from a handler to its reader. Unlike io.Pipe it holds some, so that a handler with a small
// answer never waits for its reader.
type pipe struct {
	mu       sync.Mutex
	changed  sync.Cond
	data     []byte
	writeErr error // what the reader gets after the data; nil while the writer writes
	readErr  error // why nobody reads any more
}

func newPipe() *pipe {
	p := &pipe{}
	p.changed.L = &p.mu
	return p
}

// Write appends b, waiting for room.
func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	written := 0
	for len(b) > 0 {
		for p.readErr == nil && len(p.data) >= pipeWindow {
			p.changed.Wait()
		}
		if p.readErr != nil {
			return written, io.ErrClosedPipe
		}
		n := min(len(b), pipeWindow-len(p.data))
		p.data = append(p.data, b[:n]...)
		b, written = b[n:], written+n
		p.changed.Broadcast()
	}
	return written, nil
}

// Read takes what is there, waiting for some.
func (p *pipe) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.readErr != nil {
			return 0, p.readErr
		}
		if len(p.data) > 0 {
			n := copy(b, p.data)
			p.data = append(p.data[:0], p.data[n:]...)
			p.changed.Broadcast()
			return n, nil
		}
		if p.writeErr != nil {
			return 0, p.writeErr
		}
		p.changed.Wait()
	}
}

// closeWrite ends the data; the reader gets err after it.
func (p *pipe) closeWrite(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writeErr == nil {
		p.writeErr = err
	}
	p.changed.Broadcast()
}

// closeRead ends reading: Read gives err from now on, Write fails. What was ended by the writer already and wholly
// read stays as it is.
func (p *pipe) closeRead(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.readErr == nil {
		p.readErr, p.data = err, nil
	}
	p.changed.Broadcast()
}
