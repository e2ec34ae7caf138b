package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// together has several callers attach containers, each to one of the networks, and detach them, for a time. It returns
// how many attachments that were.
func together(ctx context.Context, callers int, networks []network, long time.Duration) (int, error) {
	var done atomic.Int64
	until := time.Now().Add(long)
	g, ctx := errgroup.WithContext(ctx)
	for c := range callers {
		w := networks[c%len(networks)]
		g.Go(func() error {
			for n := 0; time.Now().Before(until) && ctx.Err() == nil; n++ {
				e, err := w.attach(ctx, 1000+c*100+n%100)
				if err == nil {
					_, err = w.detach(ctx, e)
				}
				if err != nil {
					return err
				}
				done.Add(1)
			}
			return nil
		})
	}
	err := g.Wait()
	if err != nil {
		err = fmt.Errorf("after %d attachments: %w", done.Load(), err)
	}
	return int(done.Load()), err
}

func networks(ctx context.Context, p *plugin, n int) ([]network, error) {
	var all []network
	for i := range n {
		w, err := p.create(ctx, i)
		if err != nil {
			return all, err
		}
		all = append(all, w)
	}
	return all, nil
}

func measureCallers(ctx context.Context, p *plugin) ([]row, error) {
	all, err := networks(ctx, p, 64)
	if err != nil {
		return nil, err
	}
	long := time.Duration(rounds(p.setting, 12, 4)) * time.Second
	var rows []row
	rate := map[string]float64{}
	for _, on := range []string{"one network", "networks of their own"} {
		for _, callers := range []int{1, 4, 16, 64} {
			use := all[:1]
			if on != "one network" {
				use = all[:callers]
			}
			began := time.Now()
			n, err := together(ctx, callers, use, long)
			if err != nil {
				return rows, fmt.Errorf("%d callers on %s: %w", callers, on, err)
			}
			name := fmt.Sprintf("%d callers on %s", callers, on)
			rate[name] = float64(n) / time.Since(began).Seconds()
			rows = append(rows, row{Name: name, Unit: "attach and detach/s", Value: rate[name], More: true})
		}
		rows = append(rows, row{
			Name: "16 callers / 1 on " + on, Unit: "x", Bar: 2, Goal: 4, More: true,
			Value: rate["16 callers on "+on] / rate["1 callers on "+on],
		})
	}
	return rows, remove(ctx, all)
}

// remove deletes the networks, some at a time.
func remove(ctx context.Context, all []network) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for _, w := range all {
		g.Go(func() error { return w.delete(ctx) })
	}
	return g.Wait()
}
