package ipam

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"go4.org/netipx"
)

// Key identifies a pool: Docker knows it by the key's text.
type Key struct {
	// Tenant has an address space of its own; "" is that of all who name none.
	Tenant string       `json:"tenant_id,omitempty"`
	Subnet netip.Prefix `json:"subnet"`
	// Range is the part of the subnet that addresses come from when none is asked
	// for; not valid for all of it.
	Range netip.Prefix `json:"range,omitzero"`
}

// scheme begins the text of a key.
const scheme = "ovn"

// String returns the text of the key, "ovn,TENANT,SUBNET,RANGE".
func (k Key) String() string {
	part := ""
	if k.Range.IsValid() {
		part = k.Range.String()
	}
	return strings.Join([]string{scheme, k.Tenant, k.Subnet.String(), part}, ",")
}

// ParseKey reads the text of a key.
func ParseKey(text string) (Key, error) {
	bad := fmt.Errorf("%q is not the name of an address pool of this plugin", text)
	words := strings.Split(text, ",")
	if len(words) != 4 || words[0] != scheme {
		return Key{}, bad
	}
	k := Key{Tenant: words[1]}
	var err error
	if k.Subnet, err = netip.ParsePrefix(words[2]); err != nil || k.Subnet != k.Subnet.Masked() {
		return Key{}, bad
	}
	if words[3] != "" {
		if k.Range, err = netip.ParsePrefix(words[3]); err != nil || k.Range != k.Range.Masked() {
			return Key{}, bad
		}
	}
	return k, k.Validate()
}

// Validate refuses keys that no pool can have.
func (k Key) Validate() error {
	switch {
	case k.Subnet.Bits() < minBits(k.Subnet.Addr()):
		return fmt.Errorf("subnet %s is too large: its prefix length is to be %d at least", k.Subnet, minBits(k.Subnet.Addr()))
	case k.Range.IsValid() && (k.Range.Bits() < k.Subnet.Bits() || !k.Subnet.Contains(k.Range.Addr())):
		return fmt.Errorf("range %s is not in subnet %s", k.Range, k.Subnet)
	}
	return nil
}

// minBits bounds subnets to what somebody may have: 0.0.0.0/0 is everybody's.
func minBits(a netip.Addr) int {
	if a.Is4() {
		return 8
	}
	return 16
}

// Usable returns the addresses of a subnet that somebody may have: of IPv4, not the
// subnet's own and not the broadcast address (RFC 3021 for /31); of IPv6, not the
// routers' anycast address (RFC 4291, 2.6.1, RFC 6164 for /127).
func Usable(subnet netip.Prefix) netipx.IPRange {
	subnet = subnet.Masked()
	from, to := subnet.Addr(), netipx.PrefixLastIP(subnet)
	if subnet.Bits() < from.BitLen()-1 {
		from = from.Next()
		if from.Is4() {
			to = to.Prev()
		}
	}
	return netipx.IPRangeFrom(from, to)
}

// First returns the first address of a subnet that somebody may have: its gateway's,
// when nobody says otherwise.
func First(subnet netip.Prefix) netip.Addr { return Usable(subnet).From() }

// Pool is a subnet that addresses are given of, as one host knows it.
type Pool struct {
	Key
	Gateway netip.Addr `json:"gateway,omitzero"`
	// Network is the id of Docker's network that has the pool, "" before it is made.
	Network string `json:"network_id,omitempty"`
	// Reserved are addresses that are given to nobody: Docker's auxiliary addresses.
	Reserved []netip.Addr `json:"reserved,omitempty"`
	// Taken are the addresses that were given away, and since when.
	Taken map[netip.Addr]time.Time `json:"taken,omitempty"`
	// Foreign are addresses that turned out to be somebody else's, and when.
	Foreign map[netip.Addr]time.Time `json:"foreign,omitempty"`
}

// Clone returns a pool that shares nothing with this one.
func (p Pool) Clone() Pool {
	p.Reserved, p.Taken, p.Foreign = slices.Clone(p.Reserved), maps.Clone(p.Taken), maps.Clone(p.Foreign)
	return p
}

// foreignFor is for how long an address that was somebody else's is given to nobody
// who has not asked for it.
const foreignFor = 10 * time.Minute

var (
	// ErrNotLeased says that no lease of this host's has a fitting address.
	ErrNotLeased = errors.New("this host has leased no such address")
	// ErrTaken says that the address is somebody's.
	ErrTaken = errors.New("the address is taken")
)

// Take gives an address away: the one that is asked for or, when that is not valid,
// the lowest of the pool's range that is free. Leased are the spans of which this
// host may give addresses.
func (p *Pool) Take(asked netip.Addr, leased []netipx.IPRange, now time.Time) (netip.Addr, error) {
	if asked.IsValid() {
		return asked, p.takeThis(asked, leased, now)
	}
	for _, span := range p.ranges(leased) {
		for a := span.From(); a.Compare(span.To()) <= 0; a = a.Next() {
			if !p.has(a) && now.Sub(p.Foreign[a]) > foreignFor {
				p.take(a, now)
				return a, nil
			}
			if a == span.To() {
				break // there may be no next one
			}
		}
	}
	return netip.Addr{}, ErrNotLeased
}

// CheckAsked refuses an address that nobody may have in the pool.
func (p *Pool) CheckAsked(a netip.Addr) error {
	switch {
	case !p.Subnet.Contains(a):
		return fmt.Errorf("address %q is not in subnet %s", a, p.Subnet)
	case !Usable(p.Subnet).Contains(a):
		return fmt.Errorf("address %q is one that nobody can have in subnet %s", a, p.Subnet)
	}
	return nil
}

func (p *Pool) takeThis(a netip.Addr, leased []netipx.IPRange, now time.Time) error {
	if err := p.CheckAsked(a); err != nil {
		return err
	}
	switch _, taken := p.Taken[a]; {
	case a == p.Gateway:
		return fmt.Errorf("%w: %q is the gateway's", ErrTaken, a)
	case taken:
		return fmt.Errorf("%w: %q is a container's of this host", ErrTaken, a)
	case slices.ContainsFunc(leased, func(r netipx.IPRange) bool { return r.Contains(a) }):
		p.take(a, now)
		return nil
	}
	return ErrNotLeased
}

func (p *Pool) take(a netip.Addr, now time.Time) {
	if p.Taken == nil {
		p.Taken = map[netip.Addr]time.Time{}
	}
	p.Taken[a] = now
	delete(p.Foreign, a)
}

// Avoid notes that the address is somebody else's.
func (p *Pool) Avoid(a netip.Addr, now time.Time) {
	maps.DeleteFunc(p.Foreign, func(_ netip.Addr, at time.Time) bool { return now.Sub(at) > foreignFor })
	if p.Foreign == nil {
		p.Foreign = map[netip.Addr]time.Time{}
	}
	p.Foreign[a] = now
}

// has reports whether the address is not to be given to just anybody.
func (p *Pool) has(a netip.Addr) bool {
	_, taken := p.Taken[a]
	return taken || a == p.Gateway || slices.Contains(p.Reserved, a)
}

// ranges returns what of the spans lies in the pool's range, lowest first.
func (p *Pool) ranges(spans []netipx.IPRange) []netipx.IPRange {
	var b netipx.IPSetBuilder
	for _, r := range spans {
		b.AddRange(r)
	}
	b.Intersect(setOf(Usable(p.Subnet)))
	if p.Range.IsValid() {
		b.Intersect(setOf(netipx.RangeOfPrefix(p.Range)))
	}
	return built(&b).Ranges()
}

func setOf(r netipx.IPRange) *netipx.IPSet {
	var b netipx.IPSetBuilder
	b.AddRange(r)
	return built(&b)
}

// built returns the set; nothing of spans that are not valid.
func built(b *netipx.IPSetBuilder) *netipx.IPSet {
	set, err := b.IPSet()
	if err != nil {
		return &netipx.IPSet{}
	}
	return set
}

// Without returns what of the spans is in none of the others.
func Without(spans, others []netipx.IPRange) []netipx.IPRange {
	var b netipx.IPSetBuilder
	for _, r := range spans {
		b.AddRange(r)
	}
	for _, r := range others {
		b.RemoveRange(r)
	}
	if rest := built(&b).Ranges(); len(rest) > 0 {
		return rest
	}
	return nil
}

// Joined returns the spans in order, those that touch as one.
func Joined(spans ...netipx.IPRange) []netipx.IPRange { return Without(spans, nil) }

// Release takes an address back.
func (p *Pool) Release(a netip.Addr) {
	delete(p.Taken, a)
	p.Reserved = slices.DeleteFunc(p.Reserved, func(r netip.Addr) bool { return r == a })
}

// Addresses are the addresses that were given away, in order.
func (p *Pool) Addresses() []netip.Addr {
	return slices.SortedFunc(maps.Keys(p.Taken), netip.Addr.Compare)
}

// A lease has at most block addresses, or a quarter of what the host has leased
// already, if that is more: spans are to be few. It has no more than one in share of
// what is left.
const (
	block = 32
	share = 16
	most  = 1 << 14
)

// Lease chooses a span of the pool to lease next: of what is neither leased to
// anybody nor used. The asked address, when it is valid, is leased alone, and out of
// what others have leased too. Used are the addresses that somebody has, with a lease
// or without.
func (p *Pool) Lease(asked netip.Addr, mine, others []netipx.IPRange, used []netip.Addr) (netipx.IPRange, bool) {
	var free netipx.IPSetBuilder
	free.AddRange(Usable(p.Subnet))
	for _, r := range mine {
		free.RemoveRange(r)
	}
	if !asked.IsValid() {
		for _, r := range others {
			free.RemoveRange(r)
		}
	}
	for _, a := range slices.Concat(used, p.Reserved, []netip.Addr{p.Gateway}) {
		if a.IsValid() {
			free.Remove(a)
		}
	}
	set := built(&free)
	if asked.IsValid() {
		return netipx.IPRangeFrom(asked, asked), set.Contains(asked)
	}
	spans := p.ranges(set.Ranges())
	if len(spans) == 0 {
		return netipx.IPRange{}, false
	}
	size := min(max(count(spans)/share, 1), max(block, count(mine)/4))
	from := spans[0].From()
	to := from
	for i := 1; i < size && to != spans[0].To(); i++ {
		to = to.Next()
	}
	return netipx.IPRangeFrom(from, to), true
}

// Idle returns what of the leased spans is to be given back: all that is not taken,
// but for the first block of it. It is nothing as long as that is not much.
func (p *Pool) Idle(mine []netipx.IPRange) []netipx.IPRange {
	var taken []netipx.IPRange
	for a := range p.Taken {
		taken = append(taken, netipx.IPRangeFrom(a, a))
	}
	var of []netipx.IPRange
	for _, r := range mine {
		if p.Subnet.Contains(r.From()) {
			of = append(of, r)
		}
	}
	idle := Without(of, taken)
	if count(idle) <= 2*block {
		return nil
	}
	left := block
	for left > 0 && len(idle) > 0 {
		if n := count(idle[:1]); n <= left {
			left -= n
			idle = idle[1:]
			continue
		}
		from := idle[0].From()
		for ; left > 0; left-- {
			from = from.Next()
		}
		idle = append([]netipx.IPRange{netipx.IPRangeFrom(from, idle[0].To())}, idle[1:]...)
	}
	return idle
}

// count returns how many addresses the spans have, or most if they are more.
func count(spans []netipx.IPRange) int {
	n := 0
	for _, r := range spans {
		for a := r.From(); n < most; a = a.Next() {
			n++
			if a == r.To() {
				break
			}
		}
	}
	return n
}

// Hold notes that somebody has the address.
func (p *Pool) Hold(a netip.Addr, since time.Time) {
	if _, taken := p.Taken[a]; !taken {
		p.take(a, since)
	}
}

// Reserve keeps the address from everybody.
func (p *Pool) Reserve(a netip.Addr) {
	if !slices.Contains(p.Reserved, a) {
		p.Reserved = append(p.Reserved, a)
	}
}

// Subnet returns the first subnet of that length that is free.
func Subnet(in netip.Prefix, bits int, taken func(netip.Prefix) bool) (netip.Prefix, error) {
	for a := in.Masked().Addr(); in.Contains(a); {
		p := netip.PrefixFrom(a, bits)
		if !taken(p) {
			return p, nil
		}
		if a = netipx.PrefixLastIP(p).Next(); !a.IsValid() {
			break
		}
	}
	return netip.Prefix{}, fmt.Errorf("%s has no free subnet of length %d", in, bits)
}
