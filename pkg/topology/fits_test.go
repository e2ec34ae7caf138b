package topology_test

import "testing"

// A router answers what is too long for where it would go to, if anything there can be
// longer.
func TestRoutersAnswerWhatIsTooLong(t *testing.T) {
	w := newWorld()
	empty := w.north.Dump()
	w.must(t, w.create(transit("t", "172.31.0.0/24", "ovn.switch=ls-t")))
	w.must(t, w.create(vpc("a", "lr-a", "10.0.0.0/24", "")))
	w.must(t, w.create(vpc("b", "lr-b", "10.1.0.0/24", "ls-t")))
	w.must(t, w.settle())
	w.lacks(t, "gateway_mtu")

	large := vpc("large", "lr-b", "10.2.0.0/24", "ls-t")
	large.MTU = 9000
	w.must(t, w.create(large))
	w.must(t, w.settle())
	w.has(t,
		"Logical_Router_Port mtu-a=1500 name=lr-a:ls-a options={gateway_mtu=1500}",
		"Logical_Router_Port mtu-b=1500 name=lr-b:ls-b options={gateway_mtu=1500}",
		"Logical_Router_Port mtu-t=1500 name=lr-gateway:ls-t options={gateway_mtu=1500}",
		"Logical_Router_Port name=lr-b:ls-t options={gateway_mtu=1500}")
	w.lacks(t, "gateway_mtu=9000")

	small := vpc("small", "lr-a", "10.3.0.0/24", "")
	small.MTU = 1400
	w.must(t, w.create(small))
	w.must(t, w.settle())
	w.has(t, "Logical_Router_Port name=lr-a:ls-small options={gateway_mtu=1400}")
	// As it is set anew.
	small = w.records["small"]
	small.MTU = 1300
	w.must(t, w.create(small))
	w.has(t, "Logical_Router_Port mtu-small=1300 name=lr-a:ls-small options={gateway_mtu=1300}")

	for _, id := range []string{"large", "a", "small", "b", "t"} {
		w.must(t, w.remove(id))
		w.must(t, w.settle())
	}
	if got := w.north.Dump(); got != empty {
		t.Errorf("left:\n%s", got)
	}
}
