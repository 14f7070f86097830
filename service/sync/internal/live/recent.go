package live

// recent remembers which rooms of a shard got something lately, whether anybody in memory needs them or not: whoever
// loads a user reads the rooms' heads from the database, and must notice what was applied since.
type recent struct {
	now, before map[string]int64
	// now knows all positions after half, before those in (floor, half].
	floor, half int64
}

// recentRooms is after how many rooms a generation is closed.
const recentRooms = 512

func (r *recent) reset(position int64) {
	*r = recent{now: map[string]int64{}, floor: position, half: position}
}

func (r *recent) put(roomID string, position int64) {
	if len(r.now) >= recentRooms {
		r.before, r.floor = r.now, r.half
		r.now, r.half = make(map[string]int64, recentRooms), position-1
	}
	r.now[roomID] = position
}

// after returns the newest position of a room after the given one, 0 if nothing came since; and worst where it does
// not know that much.
func (r *recent) after(roomID string, position, worst int64) int64 {
	if p := r.now[roomID]; p > position {
		return p
	}
	if p := r.before[roomID]; p > position {
		return p
	}
	if position < r.floor {
		return worst
	}
	return 0
}
