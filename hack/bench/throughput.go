package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
)

// way is two links of one maker, whose other ends are ports of the same switch.
type way struct {
	from, to string // network namespaces
	target   string // the address in the second
	undo     []func() error
}

// close takes it away, the last thing first.
func (y *way) close() error {
	var all []error
	for len(y.undo) > 0 {
		last := len(y.undo) - 1
		all = append(all, y.undo[last]())
		y.undo = y.undo[:last]
	}
	return errors.Join(all...)
}

// namespace makes one, before the link that it is for: its end would be that of the link too.
func (y *way) namespace(ctx context.Context, ns string) error {
	if _, err := command(ctx, "ip", "netns", "add", ns); err != nil {
		return err
	}
	y.undo = append(y.undo, func() error {
		_, err := command(context.WithoutCancel(ctx), "ip", "netns", "delete", ns)
		return err
	})
	return nil
}

// link gives a link to a network namespace, with an address.
func link(ctx context.Context, ns, link, address string) error {
	for _, args := range [][]string{
		{"link", "set", link, "netns", ns},
		{"-n", ns, "link", "set", link, "up"},
		{"-n", ns, "address", "add", address, "dev", link},
	} {
		if _, err := command(ctx, "ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// listen starts the receiving side.
func (y *way) listen(ctx context.Context) error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	receiver := exec.CommandContext(ctx, "ip", "netns", "exec", y.to, own, trafficCommand, "receive", y.target) //nolint:gosec // this program
	if err := receiver.Start(); err != nil {
		return err
	}
	y.undo = append(y.undo, func() error {
		_ = receiver.Process.Kill() // it ends by nothing else
		_ = receiver.Wait()
		return nil
	})
	return nil
}

// send measures it.
func (y *way) send(ctx context.Context) (s sent, _ error) {
	own, err := os.Executable()
	if err != nil {
		return s, err
	}
	out, err := command(ctx, "ip", "netns", "exec", y.from, own, trafficCommand, "send", y.target, "150ms")
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal([]byte(out), &s)
}

// attached makes a way by the plugin, and wired one by hand, with what the plugin's links can carry. Their numbers are n
// and n+1.
func (w network) attached(ctx context.Context, n int) (y *way, err error) {
	y = &way{from: "bench-a", to: "bench-b", target: bare(w.address(n + 1))}
	for i, ns := range []string{y.from, y.to} {
		if err := y.namespace(ctx, ns); err != nil {
			return y, err
		}
		e, err := w.attach(ctx, n+i)
		if err != nil {
			return y, err
		}
		y.undo = append(y.undo, func() error {
			_, err := w.detach(context.WithoutCancel(ctx), e)
			return err
		})
		if err := link(ctx, ns, e.link, w.address(n+i)); err != nil {
			return y, err
		}
	}
	return y, y.listen(ctx)
}

func (h hand) wired(ctx context.Context, n int, mtu string) (y *way, err error) {
	y = &way{from: fmt.Sprint("bench-c", n), to: fmt.Sprint("bench-d", n), target: bare(h.address(n + 1))}
	for i, ns := range []string{y.from, y.to} {
		if err := y.namespace(ctx, ns); err != nil {
			return y, err
		}
		name, _, err := h.attach(ctx, n+i)
		if err != nil {
			return y, err
		}
		y.undo = append(y.undo, func() error {
			_, err := h.detach(context.WithoutCancel(ctx), name)
			return err
		})
		peer := name + "p"
		for _, argv := range [][]string{{"ip", "link", "set", name, "mtu", mtu}, {"ip", "link", "set", peer, "mtu", mtu}, {"ethtool", "-K", peer, "tx", "off"}} {
			if _, err := command(ctx, argv[0], argv[1:]...); err != nil {
				return y, err
			}
		}
		if err := link(ctx, ns, peer, h.address(n+i)); err != nil {
			return y, err
		}
	}
	return y, y.listen(ctx)
}

func bare(prefix string) string { return netip.MustParsePrefix(prefix).Addr().String() }

// measureTraffic sends by ports of the plugin and by ports that were made by hand, in turns. Which numbers Open vSwitch
// has given the ports says in which order it looks at them, which may show: so each round has new ones, of which each maker's
// come first as often as another's. Two pairs are made by hand: what they differ by is what the measurement cannot tell.
func measureTraffic(ctx context.Context, p *plugin) (rows []row, err error) {
	w, err := p.create(ctx, 0)
	if err != nil {
		return nil, err
	}
	mtu, err := w.mtu(ctx)
	if err != nil {
		return nil, err
	}
	var tcp, udp, latency, tcpError, udpError []float64
	var last, ours, theirs sent
	for n := range rounds(p.setting, 12, 3) {
		got, err := w.turn(ctx, n, mtu)
		if err != nil {
			return nil, err
		}
		for _, turn := range got {
			hand, other := turn["hand"], turn["other hand"]
			last = turn["plugin"]
			ours.Lost, theirs.Lost = ours.Lost+last.Lost, theirs.Lost+hand.Lost
			tcp, udp, latency = append(tcp, last.TCP/hand.TCP), append(udp, last.UDP/hand.UDP), append(latency, last.Latency/hand.Latency)
			tcpError, udpError = append(tcpError, other.TCP/hand.TCP), append(udpError, other.UDP/hand.UDP)
		}
	}
	mean := func(a, b float64) float64 { return (a + b) / 2 }
	return []row{
		{Name: "TCP throughput / a hand-wired port", Unit: "x", Value: median(tcp, mean), Bar: 0.98, Goal: 1, More: true},
		{Name: "UDP throughput / a hand-wired port", Unit: "x", Value: median(udp, mean), Bar: 0.98, Goal: 1, More: true},
		{Name: "TCP throughput, another hand-wired port / a hand-wired port", Unit: "x", Value: median(tcpError, mean), More: true},
		{Name: "UDP throughput, another hand-wired port / a hand-wired port", Unit: "x", Value: median(udpError, mean), More: true},
		{Name: "UDP there and back / a hand-wired port", Unit: "x", Value: median(latency, mean)},
		{Name: "TCP throughput, the last", Unit: "Mbit/s", Value: last.TCP, More: true},
		{Name: "UDP throughput, the last", Unit: "Mbit/s", Value: last.UDP, More: true},
		{Name: "UDP lost, of the plugin's", Unit: "datagrams", Value: float64(ours.Lost)},
		{Name: "UDP lost, of a hand-wired port's", Unit: "datagrams", Value: float64(theirs.Lost)},
		{Name: "UDP there and back, the last", Unit: "µs", Value: last.Latency},
	}, w.delete(ctx)
}

// turn is a round: the ways are made, and measured in turns that are short, for what else the machine does comes and goes.
func (w network) turn(ctx context.Context, n int, mtu string) (got []map[string]sent, err error) {
	ways := map[string]*way{}
	order := []string{"plugin", "hand", "other hand"}
	order = slices.Concat(order[n%3:], order[:n%3])
	if n%2 == 1 {
		slices.Reverse(order)
	}
	for _, side := range order {
		switch side {
		case "plugin":
			ways[side], err = w.attached(ctx, 70)
		case "hand":
			ways[side], err = w.byHand().wired(ctx, 80, mtu)
		default:
			ways[side], err = w.byHand().wired(ctx, 90, mtu)
		}
		defer func() { err = errors.Join(err, ways[side].close()) }()
		if err != nil {
			return nil, err
		}
	}
	if err := settle(ctx, w.setting); err != nil {
		return nil, err
	}
	for range 4 {
		all := map[string]sent{}
		for range 2 {
			for _, side := range order {
				s, err := ways[side].send(ctx)
				if err != nil {
					return nil, fmt.Errorf("sending by the way of %q: %w", side, err)
				}
				all[side] = all[side].and(s)
			}
			slices.Reverse(order)
		}
		got = append(got, all)
	}
	return got, nil
}

// and is the mean of two measurements, the first of which may be none, and all that both have lost.
func (s sent) and(t sent) sent {
	if s == (sent{}) {
		return t
	}
	return sent{TCP: (s.TCP + t.TCP) / 2, UDP: (s.UDP + t.UDP) / 2, Latency: (s.Latency + t.Latency) / 2, Lost: s.Lost + t.Lost}
}

// mtu is what the links of the network's containers can carry.
func (w network) mtu(ctx context.Context) (_ string, err error) {
	e, err := w.attach(ctx, 69)
	if err != nil {
		return "", err
	}
	defer func() {
		_, failed := w.detach(ctx, e)
		err = errors.Join(err, failed)
	}()
	return mtuOf(ctx, e.link)
}

// mtuOf is what a link of this host can carry.
func mtuOf(ctx context.Context, link string) (string, error) {
	out, err := command(ctx, "ip", "-json", "link", "show", link)
	if err != nil {
		return "", err
	}
	var links []struct {
		MTU int `json:"mtu"`
	}
	if err := json.Unmarshal([]byte(out), &links); err != nil || len(links) == 0 {
		return "", fmt.Errorf("reading link %q: %q: %w", link, out, err)
	}
	return fmt.Sprint(links[0].MTU), nil
}
