package ledger

// pieces are large pieces of memory from which short texts are cut: one allocation for many that live about as long as each
// other. A piece lives as long as anything that was cut from it.
type pieces struct {
	bytes int    // of a piece; what is larger gets one of its own
	free  []byte // the rest of the newest piece
}

// pieceBytes is the size of a piece where many texts are cut. The allocator knows larger ones only as rare.
const pieceBytes = 32 << 10

// room is an empty slice with room for so many bytes, to be appended to. What it has become is given to keep, or dropped.
func (p *pieces) room(bytes int) []byte {
	if cap(p.free) < bytes {
		p.free = make([]byte, 0, max(bytes, p.bytes))
	}
	return p.free
}

// keep cuts off what room has become.
func (p *pieces) keep(b []byte) []byte {
	p.free = b[len(b):]
	return b[:len(b):len(b)]
}
