package devices

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"hongyan/platform/eventlog"
)

// User is a user some of whose devices are in memory.
type User struct {
	ID string
	// Shard is the user's in the log "keys".
	Shard int

	node *Node

	mu      sync.Mutex
	devices []*Device
	// marks are the changed device lists at positions after floor that concern the user, oldest first, one of each user.
	marks []mark
	floor int64
}

// mark says that the device list of a user changed at a position.
type mark struct {
	position int64
	userID   string
	// shared tells that an encrypted room was shared with that user when it was marked, or that it is the user itself.
	shared bool
}

// maxMarks bounds the changed device lists that are remembered for one user.
const maxMarks = 256

// Counts are the keys of a device that are left for others to claim. They do not change.
type Counts struct {
	// JSON is how answers tell of them.
	JSON []byte
	// Changed is where in the log they changed last before they were read.
	Changed int64
}

// Device is a device in memory. What is not said to be otherwise is guarded by its user's lock.
type Device struct {
	User *User
	ID   string

	refs      int
	idleSince time.Time
	waiters   []chan<- struct{}

	// floor is up to where of the log nothing is known; lastMessage is the newest message after it.
	floor, lastMessage int64
	// acknowledged is up to where messages are deleted that the client has got; -1 if that is not known.
	acknowledged int64
	// counts are nil until they were read; changed is the newest change of the counts that the log has told of. They are of the
	// device that has this id since the user's list of devices had changed life times, if that is counted.
	counts        *Counts
	changed       int64
	life, counted int64
	// told are the counts in the answer with the token toldWith, the last one.
	told     *Counts
	toldWith string
}

// Attach returns a device, brought into memory if need be, that stays there until Detach. Wake receives when there is
// something new for it; it needs room for one.
func (n *Node) Attach(userID, deviceID string, wake chan<- struct{}) *Device {
	index := eventlog.ShardOf(userID, len(n.shards))
	s := &n.shards[index]
	s.mu.Lock() // nothing is being applied: what comes later finds the device
	defer s.mu.Unlock()
	u := s.users[userID]
	if u == nil {
		u = &User{ID: userID, Shard: index, node: n, floor: n.listTarget.Load()}
		s.users[userID] = u
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sweep(n.deps.Clock().Add(-n.cfg.Idle)); len(u.devices) == 0 {
		u.marks, u.floor = nil, n.listTarget.Load() // nobody has looked for this user lately
	}
	d := u.device(deviceID, s.applied.Load())
	d.refs++
	d.waiters = append(d.waiters, wake)
	return d
}

// device finds a device or makes one, in place of that which was not used longest if there are many. The user's lock is held.
func (u *User) device(id string, applied int64) *Device {
	var oldest *Device
	for _, d := range u.devices {
		if d.ID == id {
			return d
		}
		if d.refs == 0 && (oldest == nil || d.idleSince.Before(oldest.idleSince)) {
			oldest = d
		}
	}
	if len(u.devices) >= u.node.cfg.Devices && oldest != nil {
		u.devices = slices.DeleteFunc(u.devices, func(d *Device) bool { return d == oldest })
	}
	d := &Device{User: u, ID: id, floor: applied, acknowledged: -1}
	u.devices = append(u.devices, d)
	return d
}

// Detach lets the device leave memory when nobody else needs it any more.
func (d *Device) Detach(wake chan<- struct{}) {
	u := d.User
	u.mu.Lock()
	defer u.mu.Unlock()
	d.refs--
	d.idleSince = u.node.deps.Clock()
	if i := slices.Index(d.waiters, wake); i >= 0 {
		d.waiters = slices.Delete(d.waiters, i, i+1)
	}
}

// sweep drops devices that were idle since a time. The user's lock is held.
func (u *User) sweep(deadline time.Time) {
	u.devices = slices.DeleteFunc(u.devices, func(d *Device) bool { return d.refs == 0 && d.idleSince.Before(deadline) })
}

// wake tells all that wait for the device. The user's lock is held.
func (d *Device) wake() {
	for _, w := range d.waiters {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// wakeAll tells all that wait for the user. The user's lock is held.
func (u *User) wakeAll() {
	for _, d := range u.devices {
		d.wake()
	}
}

// MayHaveMessages tells whether there may be messages for the device in (after, through]. No is certain, for a position
// through which the log was applied.
func (d *Device) MayHaveMessages(after, through int64) bool {
	d.User.mu.Lock()
	defer d.User.mu.Unlock()
	return after < through && (after < d.floor || after < d.lastMessage)
}

// MustAcknowledge tells whether messages up to a position may still be stored. Acknowledged says that they are not.
func (d *Device) MustAcknowledge(through int64) bool {
	d.User.mu.Lock()
	defer d.User.mu.Unlock()
	return through > 0 && through > d.acknowledged && (d.acknowledged < d.floor || d.lastMessage > d.acknowledged)
}

// Acknowledged says that no messages up to a position are stored any more.
func (d *Device) Acknowledged(through int64) {
	d.User.mu.Lock()
	defer d.User.mu.Unlock()
	d.acknowledged = max(d.acknowledged, through)
}

// Counts returns the newest counts that were read, nil for none, and whether they are what the log tells of up to a position
// that was applied before.
func (d *Device) Counts() (counts *Counts, fresh bool) {
	d.User.mu.Lock()
	defer d.User.mu.Unlock()
	return d.counts, d.counts != nil && d.counts.Changed >= d.changed && d.counted == d.life
}

// Life is for PutCounts, before counts are read: while it is the same, no other device can have got the id.
func (d *Device) Life() int64 {
	d.User.mu.Lock()
	defer d.User.mu.Unlock()
	return d.life
}

// PutCounts keeps counts that were read when Life was life.
func (d *Device) PutCounts(c *Counts, life int64) {
	d.User.mu.Lock()
	defer d.User.mu.Unlock()
	if d.counts == nil || d.counted < life || d.counted == life && d.counts.Changed <= c.Changed {
		d.counts, d.counted = c, life
	}
}

// CountsAreNews tells whether a client with a token, which is at a position of the log, is to be told of counts.
func (d *Device) CountsAreNews(c *Counts, since string, position int64) bool {
	d.User.mu.Lock()
	defer d.User.mu.Unlock()
	if d.toldWith != since {
		return c.Changed > position
	}
	return d.told == nil || !bytes.Equal(d.told.JSON, c.JSON)
}

// Tell says which counts the device is told together with a token; nil for none.
func (d *Device) Tell(c *Counts, token string) {
	d.User.mu.Lock()
	defer d.User.mu.Unlock()
	d.told, d.toldWith = c, token
}

// ChangedLists appends the users whose device lists changed in (after, through], as far as that concerns the user. Shared tells
// that each of them shared an encrypted room with the user when that was noted, or is the user; otherwise some may share none.
// It fails where memory does not reach back so far: ask the database.
func (u *User) ChangedLists(dst []string, after, through int64) (users []string, shared, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if after < u.floor {
		return dst, true, after >= through
	}
	shared = true
	for i := len(u.marks) - 1; i >= 0 && u.marks[i].position > after; i-- {
		if u.marks[i].position <= through {
			dst = append(dst, u.marks[i].userID)
			shared = shared && u.marks[i].shared
		}
	}
	return dst, shared, true
}

// mark remembers a changed device list. The user's lock is held.
func (u *User) mark(m mark) {
	u.marks = slices.DeleteFunc(u.marks, func(old mark) bool { return old.userID == m.userID })
	u.marks = append(u.marks, m)
	if len(u.marks) > maxMarks {
		u.floor = max(u.floor, u.marks[0].position)
		u.marks = slices.Delete(u.marks, 0, 1)
	}
}
