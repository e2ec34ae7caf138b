package main

import (
	"context"
	"errors"
	"slices"
	"time"
)

// image has a sleep(1).
const image = "ovs-container-network-demo:latest"

// kinds are the networks that containers are started on, and what creates them.
func kinds(p *plugin) (names []string, create map[string][]string) {
	ovn := func(args ...string) []string {
		return append([]string{"-d", p.Driver, "-o", "ovn.nb_connection=" + p.NB, "-o", "ovn.sb_connection=" + p.SB}, args...)
	}
	return []string{"none", "bridge", "bench-bridge", "bench-internal", "bench-routed"}, map[string][]string{
		"bench-bridge":   {"-d", "bridge"},
		"bench-internal": ovn("-o", "ovn.switch=ls-bench-internal", "--internal", "--subnet=10.90.0.0/24"),
		"bench-routed":   ovn("-o", "ovn.switch=ls-bench-routed", "-o", "ovn.router=lr-bench", "--subnet=10.91.0.0/24"),
	}
}

func measureDocker(ctx context.Context, p *plugin) (rows []row, err error) {
	names, create := kinds(p)
	for name, args := range create {
		if _, err := command(ctx, "docker", append(append([]string{"network", "create"}, args...), name)...); err != nil {
			return nil, err
		}
		defer func() {
			_, failed := command(context.WithoutCancel(ctx), "docker", "network", "rm", name)
			err = errors.Join(err, failed)
		}()
	}
	run, rm := map[string][]time.Duration{}, map[string][]time.Duration{}
	for n := range rounds(p.setting, 25, 8) + 1 {
		slices.Reverse(names) // whose turn is first changes too
		for _, name := range names {
			began := time.Now()
			id, err := command(ctx, "docker", "run", "-d", "--network", name, image, "sleep", "600")
			if err != nil {
				return nil, err
			}
			up := time.Since(began)
			if err := settle(ctx, p.setting); err != nil {
				return nil, err
			}
			began = time.Now()
			if _, err := command(ctx, "docker", "rm", "-f", id); err != nil {
				return nil, err
			}
			gone := time.Since(began)
			if err := settle(ctx, p.setting); err != nil {
				return nil, err
			}
			if n > 0 {
				run[name], rm[name] = append(run[name], up), append(rm[name], gone)
			}
		}
	}
	up := func(name string) time.Duration { return medianTime(run[name]) }
	gone := func(name string) time.Duration { return medianTime(rm[name]) }
	const user = "bench-bridge"
	rows = []row{
		{Name: "docker run, internal / a bridge", Unit: "x", Value: ratio(up("bench-internal"), up(user)), Bar: 1.15, Goal: 1.05},
		{Name: "docker run, routed / a bridge", Unit: "x", Value: ratio(up("bench-routed"), up(user)), Bar: 1.15, Goal: 1.05},
		{Name: "docker rm, internal / a bridge", Unit: "x", Value: ratio(gone("bench-internal"), gone(user)), Bar: 1.2, Goal: 1},
		{Name: "docker rm, routed / a bridge", Unit: "x", Value: ratio(gone("bench-routed"), gone(user)), Bar: 1.2, Goal: 1},
	}
	slices.Sort(names)
	for _, name := range names {
		rows = append(rows,
			row{Name: "docker run -d --network " + name, Unit: "ms", Value: milliseconds(up(name))},
			row{Name: "docker rm -f, of " + name, Unit: "ms", Value: milliseconds(gone(name))})
	}
	return rows, nil
}
