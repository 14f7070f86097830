package live

// Cut is a set of positions: one of each shard of the room log, one of the user's shard of the user log, and a stamp of
// the node's clock for what has no log.
type Cut struct {
	Rooms []int64
	User  int64
	// Clock is in milliseconds since 1970.
	Clock int64
	// Typing is not 0 where a reader may still have been told of somebody who types.
	Typing int64
}

// Cut fills c with what the node has applied for a user.
func (n *Node) Cut(u *User, c *Cut) {
	if cap(c.Rooms) < len(n.shards) {
		c.Rooms = make([]int64, len(n.shards))
	}
	c.Rooms = c.Rooms[:len(n.shards)]
	for i := range n.shards {
		c.Rooms[i] = n.shards[i].applied.Load()
	}
	c.User = n.userShards[u.Shard].applied.Load()
	c.Clock, c.Typing = n.clock.read(), 0
}

// Covers tells whether the node has applied all that c names for a user.
func (n *Node) Covers(u *User, c *Cut) bool {
	for i, p := range c.Rooms {
		if p > n.shards[i].applied.Load() {
			return false
		}
	}
	return c.User <= n.userShards[u.Shard].applied.Load()
}
