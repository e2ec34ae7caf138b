package ovn

import "slices"

// index finds rows by what refers to them. With a hundred routers, looking through
// all rows for each of them is what a pass would spend its time on.
type index struct {
	ports, routes map[string]int     // by UUID, in RouterPorts and Routes
	named, ends   map[RouterPort]int // by name in RouterPorts, by peer in Links
	holders       map[string]int     // by a link's UUID, in Switches
}

func newIndex(s Seen) *index {
	x := &index{map[string]int{}, map[string]int{}, map[RouterPort]int{}, map[RouterPort]int{}, map[string]int{}}
	for i, p := range s.RouterPorts {
		x.ports[p.UUID], x.named[p.Name] = i, i
	}
	for i, r := range s.Routes {
		x.routes[r.UUID] = i
	}
	for i, l := range s.Links {
		x.ends[l.Peer] = i
		x.holders[l.UUID] = -1
	}
	for i := len(s.Switches) - 1; i >= 0; i-- {
		for _, port := range s.Switches[i].Ports {
			if _, link := x.holders[port]; link {
				x.holders[port] = i
			}
		}
	}
	return x
}

func (s Seen) indexed() *index {
	if s.index == nil {
		return newIndex(s)
	}
	return s.index
}

// PortsOf returns the router's ports.
func (s Seen) PortsOf(r RouterRow) []*RouterPortRow {
	x := s.indexed()
	var all []*RouterPortRow
	for _, id := range r.Ports {
		if i, there := x.ports[id]; there {
			all = append(all, &s.RouterPorts[i])
		}
	}
	return all
}

// PortNamed returns the router port of that name; nil when there is none.
func (s Seen) PortNamed(name RouterPort) *RouterPortRow {
	if i, there := s.indexed().named[name]; there {
		return &s.RouterPorts[i]
	}
	return nil
}

// LinkTo returns the switch's end of the router port; nil when it has none.
func (s Seen) LinkTo(p RouterPort) *LinkRow {
	if i, there := s.indexed().ends[p]; there {
		return &s.Links[i]
	}
	return nil
}

// SwitchOf returns the switch that the link is on; nil when that was not seen.
func (s Seen) SwitchOf(l LinkRow) *SwitchRow {
	if i, there := s.indexed().holders[l.UUID]; there && i >= 0 {
		return &s.Switches[i]
	}
	return nil
}

// RoutesOf returns the static routes of the router's main table.
func (s Seen) RoutesOf(r RouterRow) []RouteRow {
	x := s.indexed()
	var all []RouteRow
	for _, id := range r.Routes {
		if i, there := x.routes[id]; there && s.Routes[i].Table == "" {
			all = append(all, s.Routes[i])
		}
	}
	return all
}

// NATsOf returns the router's NAT rules.
func (s Seen) NATsOf(r RouterRow) []NATRow {
	return slices.DeleteFunc(slices.Clone(s.NATs), func(n NATRow) bool { return !slices.Contains(r.NATs, n.UUID) })
}

// PoliciesOf returns the router's policies.
func (s Seen) PoliciesOf(r RouterRow) []PolicyRow {
	return slices.DeleteFunc(slices.Clone(s.Policies), func(p PolicyRow) bool { return !slices.Contains(r.Policies, p.UUID) })
}

// ChassisOf returns the chassis that the router's port may be on.
func (s Seen) ChassisOf(p RouterPortRow) []ChassisRow {
	return slices.DeleteFunc(slices.Clone(s.Chassis), func(c ChassisRow) bool { return !slices.Contains(p.Chassis, c.UUID) })
}

// LocalnetOf returns the switch's port to a physical network; nil when it has
// none.
func (s Seen) LocalnetOf(sw SwitchRow) *LocalnetRow {
	for i, l := range s.Localnets {
		if slices.Contains(sw.Ports, l.UUID) {
			return &s.Localnets[i]
		}
	}
	return nil
}

// Without returns what was seen less the ports, links, routes and NAT rules that go.
func (s Seen) Without(goes func(uuid string) bool) Seen {
	s.RouterPorts = slices.DeleteFunc(slices.Clone(s.RouterPorts), func(p RouterPortRow) bool { return goes(p.UUID) })
	s.Links = slices.DeleteFunc(slices.Clone(s.Links), func(l LinkRow) bool { return goes(l.UUID) })
	s.Routes = slices.DeleteFunc(slices.Clone(s.Routes), func(r RouteRow) bool { return goes(r.UUID) })
	s.NATs = slices.DeleteFunc(slices.Clone(s.NATs), func(n NATRow) bool { return goes(n.UUID) })
	s.index = newIndex(s)
	return s
}
