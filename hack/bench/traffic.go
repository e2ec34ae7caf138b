package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"time"
)

// trafficCommand is the first argument of this program where it sends and receives between the ends of two links.
const trafficCommand = "traffic"

// The ports of the receiving side.
const (
	portTCP   = "7001" // swallows, and answers with one byte at the end
	portEcho  = "7002" // UDP: answers what comes
	portCount = "7003" // UDP: swallows; a datagram of one byte is answered with how many bytes came since the last such
)

// sent is what the sending side measured.
type sent struct {
	TCP     float64 // Mbit/s
	UDP     float64 // Mbit/s that arrived
	Latency float64 // µs, there and back, median
}

// traffic runs one side: "receive ADDRESS" until it is ended, or "send ADDRESS SECONDS".
func traffic(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "receive":
		return receive(args[1])
	case len(args) == 3 && args[0] == "send":
		long, err := time.ParseDuration(args[2])
		if err != nil {
			return err
		}
		s, err := send(args[1], long)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(s)
	}
	return fmt.Errorf("traffic %q: not known", args)
}

func receive(address string) error {
	l, err := net.Listen("tcp", net.JoinHostPort(address, portTCP))
	if err != nil {
		return err
	}
	echo, err := net.ListenPacket("udp", net.JoinHostPort(address, portEcho))
	if err != nil {
		return err
	}
	count, err := net.ListenPacket("udp", net.JoinHostPort(address, portCount))
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := echo.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = echo.WriteTo(buf[:n], from) // one that is lost is sent again
		}
	}()
	go func() {
		buf := make([]byte, 2048)
		for total := 0; ; {
			n, from, err := count.ReadFrom(buf)
			if err != nil {
				return
			}
			total += n
			if n == 1 {
				_, _ = count.WriteTo([]byte(fmt.Sprint(total)), from) // asked for again if lost
				total = 0
			}
		}
	}()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()               //nolint:errcheck // nothing is lost by it
			_, _ = io.Copy(io.Discard, c) // until the sender closes
			_, _ = c.Write([]byte{1})
		}()
	}
}

func send(address string, long time.Duration) (s sent, _ error) {
	chunk := make([]byte, 64<<10)
	c, err := net.Dial("tcp", net.JoinHostPort(address, portTCP))
	if err != nil {
		return s, err
	}
	defer c.Close() //nolint:errcheck // nothing is lost by it
	total := 0
	began := time.Now()
	for time.Since(began) < long {
		n, err := c.Write(chunk)
		if err != nil {
			return s, err
		}
		total += n
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return s, err
	}
	if _, err := io.ReadFull(c, chunk[:1]); err != nil {
		return s, err
	}
	s.TCP = float64(total) * 8 / 1e6 / time.Since(began).Seconds()

	ask, err := net.Dial("udp", net.JoinHostPort(address, portCount))
	if err != nil {
		return s, err
	}
	defer ask.Close() //nolint:errcheck // nothing is lost by it
	if _, err := counted(ask); err != nil {
		return s, err
	}
	began = time.Now()
	for time.Since(began) < long {
		if _, err := ask.Write(chunk[:1400]); err != nil {
			return s, err
		}
	}
	took := time.Since(began)
	arrived, err := counted(ask)
	if err != nil {
		return s, err
	}
	s.UDP = float64(arrived) * 8 / 1e6 / took.Seconds()

	echo, err := net.Dial("udp", net.JoinHostPort(address, portEcho))
	if err != nil {
		return s, err
	}
	defer echo.Close() //nolint:errcheck // nothing is lost by it
	var trips []time.Duration
	for range 1000 {
		began := time.Now()
		if _, err := again(echo, chunk[:64]); err != nil {
			return s, err
		}
		trips = append(trips, time.Since(began))
	}
	s.Latency = float64(medianTime(trips).Nanoseconds()) / 1000
	return s, nil
}

// counted asks how much has arrived.
func counted(c net.Conn) (int, error) {
	answer, err := again(c, []byte{1})
	var n int
	if err == nil {
		_, err = fmt.Sscan(string(answer), &n)
	}
	return n, err
}

// again sends a datagram until it is answered.
func again(c net.Conn, datagram []byte) ([]byte, error) {
	buf := make([]byte, 2048)
	for range 20 {
		if _, err := c.Write(datagram); err != nil {
			return nil, err
		}
		if err := c.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
			return nil, err
		}
		n, err := c.Read(buf)
		if err == nil {
			return buf[:n], nil
		}
	}
	return nil, errors.New("nobody answers")
}

// inside gives a link to a network namespace of that name, with an address.
func inside(ctx context.Context, ns, link, address string) error {
	for _, args := range [][]string{
		{"netns", "add", ns},
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

func measureTraffic(ctx context.Context, p *plugin) (rows []row, err error) {
	w, err := p.create(ctx, 0)
	if err != nil {
		return nil, err
	}
	h := w.byHand()
	sides := map[string][2]string{"plugin": {"bench-a", "bench-b"}, "hand": {"bench-c", "bench-d"}}
	mtu := ""
	for i, ns := range []string{"bench-a", "bench-b", "bench-c", "bench-d"} {
		n := 70 + i
		var link string
		if i < 2 {
			e, err := w.attach(ctx, n)
			if err != nil {
				return nil, err
			}
			defer func() {
				_, failed := w.detach(context.WithoutCancel(ctx), e)
				err = errors.Join(err, failed)
			}()
			link = e.link
			if mtu, err = mtuOf(ctx, link); err != nil {
				return nil, err
			}
		} else {
			name, _, err := h.attach(ctx, n)
			if err != nil {
				return nil, err
			}
			defer func() {
				_, failed := h.detach(context.WithoutCancel(ctx), name)
				err = errors.Join(err, failed)
			}()
			link = name + "p"
			for _, argv := range [][]string{{"ip", "link", "set", name, "mtu", mtu}, {"ip", "link", "set", link, "mtu", mtu}, {"ethtool", "-K", link, "tx", "off"}} {
				if _, err := command(ctx, argv[0], argv[1:]...); err != nil {
					return nil, err
				}
			}
		}
		if err := inside(ctx, ns, link, w.address(n)); err != nil {
			return nil, err
		}
		defer func() {
			_, failed := command(context.WithoutCancel(ctx), "ip", "netns", "delete", ns)
			err = errors.Join(err, failed)
		}()
	}
	own, err := os.Executable()
	if err != nil {
		return nil, err
	}
	to := func(n int) string { return netip.MustParsePrefix(w.address(n)).Addr().String() }
	target := map[string]string{"plugin": to(71), "hand": to(73)}
	for side, ns := range sides {
		receiver := exec.CommandContext(ctx, "ip", "netns", "exec", ns[1], own, trafficCommand, "receive", target[side]) //nolint:gosec // this program
		if err := receiver.Start(); err != nil {
			return nil, err
		}
		defer func() {
			_ = receiver.Process.Kill() // it ends by nothing else
			_ = receiver.Wait()
		}()
	}
	if err := pause(ctx, time.Second); err != nil { // until both listen
		return nil, err
	}
	var tcp, udp, latency []float64
	got := map[string]sent{}
	order := []string{"plugin", "hand"}
	for range rounds(p.setting, 8, 4) {
		order[0], order[1] = order[1], order[0]
		for _, side := range order {
			out, err := command(ctx, "ip", "netns", "exec", sides[side][0], own, trafficCommand, "send", target[side], "1s")
			if err != nil {
				return nil, err
			}
			var r sent
			if err := json.Unmarshal([]byte(out), &r); err != nil {
				return nil, err
			}
			got[side] = r
		}
		tcp, udp, latency = append(tcp, got["plugin"].TCP/got["hand"].TCP), append(udp, got["plugin"].UDP/got["hand"].UDP), append(latency, got["plugin"].Latency/got["hand"].Latency)
	}
	mean := func(a, b float64) float64 { return (a + b) / 2 }
	return []row{
		{Name: "TCP throughput / a hand-wired port", Unit: "x", Value: median(tcp, mean), Bar: 0.98, Goal: 1, More: true},
		{Name: "UDP throughput / a hand-wired port", Unit: "x", Value: median(udp, mean), Bar: 0.98, Goal: 1, More: true},
		{Name: "UDP there and back / a hand-wired port", Unit: "x", Value: median(latency, mean)},
		{Name: "TCP throughput, the last", Unit: "Mbit/s", Value: got["plugin"].TCP, More: true},
		{Name: "UDP there and back, the last", Unit: "µs", Value: got["plugin"].Latency},
	}, nil
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
