package ipam

import (
	"fmt"
	"net/netip"

	"go4.org/netipx"
)

// FromTop returns the highest address of the pool that a host may have and that
// is not taken. Docker gives addresses from the bottom, so that the two meet
// only when the pool is full.
func FromTop(pool netip.Prefix, taken func(netip.Addr) bool) (netip.Addr, error) {
	pool = pool.Masked()
	a := netipx.PrefixLastIP(pool)
	if pool.Addr().Is4() && pool.Bits() < 31 {
		a = a.Prev() // the broadcast address
	}
	for ; a.IsValid() && pool.Contains(a); a = a.Prev() {
		if a == pool.Addr() && pool.Bits() < a.BitLen()-1 {
			break // the address of the network itself
		}
		if !taken(a) {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("subnet %s has no address left", pool)
}
