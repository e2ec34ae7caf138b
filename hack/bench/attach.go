package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// hand does what an attachment needs by hand: each command when the one before has ended.
type hand struct {
	network
	bridge string
	strict []string // arguments of ovn-nbctl before its commands
}

func (w network) byHand() hand {
	return hand{network: w, bridge: "br-int", strict: []string{"--db=" + w.NB, "--no-leader-only"}}
}

func (h hand) attach(ctx context.Context, n int) (name string, _ time.Duration, _ error) {
	name = fmt.Sprint("byhand", n)
	peer, port, address := name+"p", "lsp-"+name, strings.TrimSuffix(h.address(n), "/16")
	mac := fmt.Sprintf("02:00:00:ff:%02x:%02x", n>>8, n&0xff)
	ids := []string{"external_ids:owner=bench", "external_ids:endpoint_id=" + name, "external_ids:network_id=" + h.id}
	began := time.Now()
	chain := append(append([]string{}, h.strict...), "--may-exist", "lsp-add", h.sw, port, "--", "lsp-set-addresses", port, mac+" "+address, "--",
		"lsp-set-port-security", port, mac+" "+address, "--", "set", "Logical_Switch_Port", port)
	if _, err := command(ctx, "ovn-nbctl", append(chain, ids...)...); err != nil {
		return name, 0, err
	}
	links := fmt.Sprintf("link add %s type veth peer name %s address %s\nlink set %s up\n", name, peer, mac, name)
	if _, err := input(ctx, links, "ip", "-batch", "-"); err != nil {
		return name, 0, err
	}
	plug := append([]string{"--no-wait", "--may-exist", "add-port", h.bridge, name, "--", "set", "Interface", name, "external_ids:iface-id=" + port, "external_ids:attached-mac=\"" + mac + "\""}, ids...)
	if _, err := command(ctx, "ovs-vsctl", plug...); err != nil {
		return name, 0, err
	}
	wait := fmt.Sprintf(`["Open_vSwitch",{"op":"wait","timeout":10000,"table":"Interface","where":[["name","==",%q],["external_ids","includes",["map",[["ovn-installed","true"]]]]],"columns":["name"],"until":"==","rows":[{"name":%q}]}]`, name, name)
	out, err := command(ctx, "ovsdb-client", "transact", "unix:/var/run/openvswitch/db.sock", wait)
	if err == nil && strings.Contains(out, "error") {
		err = fmt.Errorf("waiting for %q: %s", name, out)
	}
	return name, time.Since(began), err
}

func (h hand) detach(ctx context.Context, name string) (time.Duration, error) {
	began := time.Now()
	if _, err := command(ctx, "ovs-vsctl", "--no-wait", "--if-exists", "del-port", name); err != nil {
		return 0, err
	}
	if _, err := input(ctx, "link delete "+name+"\n", "ip", "-batch", "-"); err != nil {
		return 0, err
	}
	_, err := command(ctx, "ovn-nbctl", append(append([]string{}, h.strict...), "--if-exists", "lsp-del", "lsp-"+name)...)
	return time.Since(began), err
}

// beside are medians of an attachment, and of the same by hand.
type beside struct{ attach, made, detach, hand, handDetach time.Duration }

// measure attaches and detaches, by the plugin and by hand in turns.
func (w network) measure(ctx context.Context, rounds int) (beside, error) {
	var attach, made, detach, byHand, handDetach []time.Duration
	h := w.byHand()
	for n := range rounds + 1 { // the first one of each is not counted
		var e endpoint
		var name string
		var d, f, g time.Duration
		for _, turn := range []func() error{
			func() (err error) { e, err = w.attach(ctx, 60000+n); return err },
			func() (err error) { d, err = w.detach(ctx, e); return err },
			func() (err error) { name, f, err = h.attach(ctx, 61000+n); return err },
			func() (err error) { g, err = h.detach(ctx, name); return err },
		} {
			if err := errors.Join(turn(), settle(ctx, w.setting)); err != nil {
				return beside{}, err
			}
		}
		if n > 0 {
			attach, made, detach, byHand, handDetach = append(attach, e.ready), append(made, e.made), append(detach, d), append(byHand, f), append(handDetach, g)
		}
	}
	return beside{medianTime(attach), medianTime(made), medianTime(detach), medianTime(byHand), medianTime(handDetach)}, nil
}

// settle waits until ovn-northd, ovn-controller and ovs-vswitchd have ended what one measurement had them do, before the
// next one begins. When the wait is over, ovn-northd is told of that too (NB_Global, hv_cfg), and computes everything once more.
func settle(ctx context.Context, s setting) error {
	began := time.Now()
	if err := synced(ctx, s); err != nil {
		return err
	}
	return pause(ctx, max(50*time.Millisecond, time.Since(began)))
}

// synced waits until OVN has nothing to do with the northbound database any more.
func synced(ctx context.Context, s setting) error {
	_, err := command(ctx, "ovn-nbctl", "--db="+s.NB, "--no-leader-only", "--wait=hv", "--timeout=120", "sync")
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func rounds(s setting, long, short int) int {
	if s.Short {
		return short
	}
	return long
}

func measureAttach(ctx context.Context, p *plugin) (rows []row, err error) {
	first, err := p.create(ctx, 0)
	if err != nil {
		return nil, err
	}
	var made, gone []time.Duration
	for range rounds(p.setting, 20, 5) {
		began := time.Now()
		w, err := p.create(ctx, 1)
		if err != nil {
			return nil, err
		}
		made = append(made, time.Since(began))
		began = time.Now()
		if err := w.delete(ctx); err != nil {
			return nil, err
		}
		gone = append(gone, time.Since(began))
	}
	b, err := first.measure(ctx, rounds(p.setting, 100, 20))
	if err != nil {
		return nil, err
	}
	return []row{
		{Name: "attach to ready / by hand", Unit: "x", Value: ratio(b.attach, b.hand), Bar: 1.1, Goal: 0.75},
		{Name: "attach to ready", Unit: "ms", Value: milliseconds(b.attach)},
		{Name: "of it, our own part", Unit: "ms", Value: milliseconds(b.made)},
		{Name: "by hand", Unit: "ms", Value: milliseconds(b.hand)},
		{Name: "detach / by hand", Unit: "x", Value: ratio(b.detach, b.handDetach)},
		{Name: "detach", Unit: "ms", Value: milliseconds(b.detach)},
		{Name: "network create", Unit: "ms", Value: milliseconds(medianTime(made))},
		{Name: "network delete", Unit: "ms", Value: milliseconds(medianTime(gone))},
	}, first.delete(ctx)
}
