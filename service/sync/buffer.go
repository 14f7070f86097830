package sync

import "sync"

// bufferPool lends the buffers that answers are put together in.
type bufferPool struct{ pool sync.Pool }

// keptBuffer is the largest buffer, in bytes, that is kept for the next answer.
const keptBuffer = 256 << 10

func (p *bufferPool) get() *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 0, 4<<10)
	return &b
}

func (p *bufferPool) put(b *[]byte) {
	if b != nil && cap(*b) <= keptBuffer {
		p.pool.Put(b)
	}
}
