package registry

import "time"

// goneAfter is for how long the registry must not have named a service, and nobody answered for it, for it to be gone. A
// registry that lost its memory has its records back in a few seconds.
const goneAfter = 15 * time.Second

// Port is one of the two ports at which an instance is reached. Who pings one knows nothing of the other.
type Port int

// Ports of an instance.
const (
	PortHTTP Port = iota
	PortGRPC
)

// silence is since when an instance does not answer, by port; zero where it does.
type silence [2]time.Time

// SetDown says that an instance does not answer at one of its ports, or does again. One that is down at either is not
// returned by Instances and Owner while others are there: who owns a key is the same for all ports.
//
// A service that the registry has not named for 15 seconds, and of which none has answered in that time, is gone: nothing
// is known of it any more, and only the registry brings it back, since whoever answers at such an address later may be
// anybody. That is found out as SetDown is called again and again.
func (d *Directory) SetDown(instance Instance, port Port, down bool) {
	d.mark(instance, func(l *listing) bool {
		s := l.down[instance.BootID]
		was := !s[port].IsZero()
		switch {
		case !down && was: // or else what it is avoided for, such as refusing, is no matter of pings
			s[port] = time.Time{}
			delete(l.avoided, instance.BootID)
		case down && !was:
			s[port] = d.config.Now()
		}
		if s == (silence{}) {
			delete(l.down, instance.BootID)
		} else {
			l.down[instance.BootID] = s
		}
		if l.leaves(d.config.Now()) {
			delete(d.services, instance.Service)
			return true
		}
		return was != down
	})
}

// IsDown tells whether SetDown said so last of one of these ports, or of any where none is named.
func (d *Directory) IsDown(instance Instance, ports ...Port) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	l := d.services[instance.Service]
	if l == nil {
		return false
	}
	s, down := l.down[instance.BootID]
	if len(ports) == 0 {
		return down
	}
	for _, port := range ports {
		if !s[port].IsZero() {
			return true
		}
	}
	return false
}

// leaves tells whether a service that is not named is gone.
func (l *listing) leaves(now time.Time) bool {
	if l.named || now.Sub(l.unnamed) < goneAfter {
		return false
	}
	for _, i := range l.instances {
		s := l.down[i.BootID]
		for _, port := range i.asked() {
			if s[port].IsZero() || now.Sub(s[port]) < goneAfter {
				return false
			}
		}
	}
	return true
}

// asked are the ports that an instance must be silent at to be gone: all that it has, but of a service that is not part of
// the program only the one that the gateway reaches, since perhaps nobody asks the other.
func (i Instance) asked() []Port {
	switch {
	case i.GRPC == "" || i.HTTP != "" && len(i.Routes) > 0:
		return []Port{PortHTTP}
	case i.HTTP == "":
		return []Port{PortGRPC}
	}
	return []Port{PortHTTP, PortGRPC}
}
