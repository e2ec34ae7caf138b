package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// fill gives the northbound database that many logical switch ports, on switches that have a thousand each and that no
// host has a port of.
func fill(ctx context.Context, s setting, from, to int) error {
	for n := from; n < to; n += 1000 {
		sw := "ls-fill-" + strconv.Itoa(n/1000)
		args := []string{"--db=" + s.NB, "--no-leader-only", "ls-add", sw}
		for i := range 1000 {
			port, address := fmt.Sprintf("fill-%d", n+i), fmt.Sprintf("0a:ff:00:%02x:%02x:%02x 10.200.%d.%d", n/1000, i>>8, i&255, i>>8, i&255)
			args = append(args, "--", "lsp-add", sw, port, "--", "lsp-set-addresses", port, address, "--", "lsp-set-port-security", port, address)
		}
		if _, err := command(ctx, "ovn-nbctl", args...); err != nil {
			return err
		}
	}
	return synced(ctx, s)
}

func empty(ctx context.Context, s setting, ports int) error {
	for n := 0; n < ports; n += 1000 {
		if _, err := command(ctx, "ovn-nbctl", "--db="+s.NB, "--no-leader-only", "--if-exists", "ls-del", "ls-fill-"+strconv.Itoa(n/1000)); err != nil {
			return err
		}
	}
	return synced(ctx, s)
}

func measureScale(ctx context.Context, p *plugin) (rows []row, err error) {
	w, err := p.create(ctx, 0)
	if err != nil {
		return nil, err
	}
	sizes := []int{0, 1000, 10000}
	defer func() { err = errors.Join(err, empty(context.WithoutCancel(ctx), p.setting, sizes[len(sizes)-1])) }()
	got := map[int]beside{}
	for i, size := range sizes {
		if i > 0 {
			if err := fill(ctx, p.setting, sizes[i-1], size); err != nil {
				return rows, err
			}
		}
		if got[size], err = w.measure(ctx, rounds(p.setting, 30, 10)); err != nil {
			return rows, err
		}
		b, with := got[size], fmt.Sprintf(", %d ports in NB", size)
		rows = append(rows,
			row{Name: "attach" + with, Unit: "ms", Value: milliseconds(b.attach)},
			row{Name: "our own part" + with, Unit: "ms", Value: milliseconds(b.made)},
			row{Name: "by hand" + with, Unit: "ms", Value: milliseconds(b.hand)},
			row{Name: "detach" + with, Unit: "ms", Value: milliseconds(b.detach)},
			row{Name: "detach by hand" + with, Unit: "ms", Value: milliseconds(b.handDetach)})
	}
	most := sizes[len(sizes)-1]
	rows = append(rows,
		row{Name: "attach / by hand, 10000 ports in NB", Unit: "x", Value: ratio(got[most].attach, got[most].hand), Bar: 1, Goal: 0.5},
		row{Name: "our own part, 10000 ports in NB / none", Unit: "x", Value: ratio(got[most].made, got[0].made), Bar: 1.25, Goal: 1.05})
	if p.cmd != nil {
		memory, own, _, err := p.held()
		if err != nil {
			return rows, err
		}
		rows = append(rows, row{Name: "memory, 10000 ports in NB", Unit: "MiB", Value: memory}, row{Name: "of it, the plugin's own process", Unit: "MiB", Value: own})
	}
	if err := empty(ctx, p.setting, most); err != nil {
		return rows, err
	}

	const host = 500
	all, err := w.many(ctx, host)
	if err != nil {
		return rows, err
	}
	b, err := w.measure(ctx, rounds(p.setting, 30, 10))
	if err != nil {
		return rows, err
	}
	rows = append(rows,
		row{Name: "attach / by hand, 500 ports on the host", Unit: "x", Value: ratio(b.attach, b.hand)},
		row{Name: "attach, 500 ports on the host", Unit: "ms", Value: milliseconds(b.attach)},
		row{Name: "our own part, 500 ports on the host", Unit: "ms", Value: milliseconds(b.made)},
		row{Name: "detach, 500 ports on the host", Unit: "ms", Value: milliseconds(b.detach)})
	return rows, errors.Join(w.none(ctx, all), w.delete(ctx))
}

// many attaches n containers.
func (w network) many(ctx context.Context, n int) ([]endpoint, error) {
	all := make([]endpoint, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range all {
		g.Go(func() (err error) {
			all[i], err = w.attach(ctx, 2000+i)
			return err
		})
	}
	return all, g.Wait()
}

// none detaches them.
func (w network) none(ctx context.Context, all []endpoint) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, e := range all {
		g.Go(func() error {
			_, err := w.detach(ctx, e)
			return err
		})
	}
	return g.Wait()
}

func measureRecovery(ctx context.Context, p *plugin) (rows []row, err error) {
	if p.cmd == nil {
		return nil, nil // it is not this program's to kill
	}
	w, err := p.create(ctx, 0)
	if err != nil {
		return nil, err
	}
	const endpoints = 1000
	began := time.Now()
	all, err := w.many(ctx, endpoints)
	if err != nil {
		return nil, err
	}
	rows = append(rows, row{Name: "1000 attachments, 8 at a time", Unit: "s", Value: time.Since(began).Seconds()})
	again := func(what string, harm func() error) error {
		p.stop(syscall.SIGKILL)
		if err := harm(); err != nil {
			return err
		}
		began := time.Now()
		listening, err := p.start(ctx)
		if err != nil {
			return err
		}
		if err := p.recovered(ctx); err != nil {
			return err
		}
		took := time.Since(began)
		out, err := command(ctx, "ovn-nbctl", "--db="+p.NB, "--no-leader-only", "--bare", "--columns=name", "find", "Logical_Switch_Port", "external_ids:network_id="+w.id)
		if err != nil {
			return err
		}
		if n := len(strings.Fields(out)); n != endpoints {
			return fmt.Errorf("recovery has left %d of %d ports in OVN", n, endpoints)
		}
		rows = append(rows,
			row{Name: "recovery of 1000 endpoints, " + what, Unit: "s", Value: took.Seconds(), Bar: 3, Goal: 1},
			row{Name: "start to listening, 1000 endpoints, " + what, Unit: "ms", Value: milliseconds(listening), Bar: 100, Goal: 20})
		return nil
	}
	if err := again("the plugin killed", func() error { return nil }); err != nil {
		return rows, err
	}
	if err := again("OVN emptied too", func() error {
		_, err := command(ctx, "ovn-nbctl", "--db="+p.NB, "--no-leader-only", "ls-del", w.sw)
		return err
	}); err != nil {
		return rows, err
	}
	return rows, errors.Join(w.none(ctx, all), w.delete(ctx))
}

// left names what is there of the plugin after everything was removed.
func left(ctx context.Context, s setting) error {
	var all []error
	for _, argv := range [][]string{
		{"ovn-nbctl", "--db=" + s.NB, "--no-leader-only", "--bare", "--columns=name", "find", "Logical_Switch_Port", "external_ids:owner=ovs-container-network"},
		{"ovn-nbctl", "--db=" + s.NB, "--no-leader-only", "--bare", "--columns=name", "find", "Logical_Switch", "external_ids:owner=ovs-container-network"},
		{"ovs-vsctl", "--bare", "--columns=name", "find", "Interface", "external_ids:owner=ovs-container-network"},
		{"ip", "-brief", "link", "show", "type", "veth"},
	} {
		out, err := command(ctx, argv[0], argv[1:]...)
		if err == nil && argv[0] == "ip" {
			out = strings.Join(veths(out), " ")
		}
		if err == nil && out != "" {
			err = fmt.Errorf("left behind: %.200s (by %q)", out, argv)
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

// veths are the links of this plugin among those that ip(8) lists: Docker's begin with "veth", and the host's own are eth0.
func veths(list string) (all []string) {
	for line := range strings.Lines(list) {
		if name, _, _ := strings.Cut(line, "@"); strings.HasPrefix(name, "oc") {
			all = append(all, strings.TrimSpace(name))
		}
	}
	return all
}

func measureCycles(ctx context.Context, p *plugin) (rows []row, err error) {
	if p.cmd == nil {
		return nil, nil // whose processes are not known
	}
	all, err := networks(ctx, p, 4)
	if err != nil {
		return nil, err
	}
	cycles := rounds(p.setting, 10000, 1000)
	warm := cycles / 10
	began := time.Now()
	if err := cycle(ctx, all, warm); err != nil {
		return nil, err
	}
	before, _, filesBefore, err := p.held()
	if err != nil {
		return nil, err
	}
	if err := cycle(ctx, all, cycles-warm); err != nil {
		return nil, err
	}
	took := time.Since(began)
	after, own, filesAfter, err := p.held()
	if err != nil {
		return nil, err
	}
	rows = []row{
		{Name: fmt.Sprintf("memory after %d attachments", cycles), Unit: "MiB", Value: after, Bar: 60, Goal: 30},
		{Name: "of it, the plugin's own process", Unit: "MiB", Value: own},
		{Name: fmt.Sprintf("memory after %d", warm), Unit: "MiB", Value: before},
		{Name: fmt.Sprintf("open files after %d attachments", cycles), Unit: "", Value: float64(filesAfter)},
		{Name: fmt.Sprintf("open files after %d", warm), Unit: "", Value: float64(filesBefore)},
		{Name: "attach and detach, 4 callers", Unit: "/s", Value: float64(cycles) / took.Seconds(), More: true},
	}
	return rows, remove(ctx, all)
}

// cycle attaches and detaches n times, on all networks at once.
func cycle(ctx context.Context, all []network, n int) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, w := range all {
		g.Go(func() error {
			for i := range n / len(all) {
				e, err := w.attach(ctx, 1000+i%1000)
				if err == nil {
					_, err = w.detach(ctx, e)
				}
				if err != nil {
					return fmt.Errorf("attachment %d: %w", i, err)
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func measurePressure(ctx context.Context, p *plugin) ([]row, error) {
	all, err := networks(ctx, p, 8)
	if err != nil {
		return nil, err
	}
	long := 5 * time.Minute
	if p.Short {
		long = 20 * time.Second
	}
	n, err := together(ctx, 64, all, long)
	return []row{{Name: fmt.Sprintf("64 callers on 8 networks for %s", long), Unit: "attach and detach", Value: float64(n), More: true}},
		errors.Join(err, remove(ctx, all))
}
