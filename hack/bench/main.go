package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ovs-container-lab/ovs-container-network/e2e/host"
)

// setting is what is measured, and how much.
type setting struct {
	Socket, Driver string // of a plugin that runs; "" for one that is started here
	NB, SB         string
	Binary         string // of the plugin
	Plugin         string // folder for docker plugin create
	Short          bool
}

// part is a group of figures that are taken together.
type part struct {
	name    string
	measure func(ctx context.Context, p *plugin) ([]row, error)
	long    bool // not in the short form, nor unless asked for
}

func parts() []part {
	return []part{
		{name: "start", measure: measureStart},
		{name: "attach", measure: measureAttach},
		{name: "callers", measure: measureCallers},
		{name: "docker", measure: measureDocker},
		{name: "traffic", measure: measureTraffic},
		{name: "scale", measure: measureScale, long: true},
		{name: "recovery", measure: measureRecovery, long: true},
		{name: "cycles", measure: measureCycles, long: true},
		{name: "pressure", measure: measurePressure, long: true},
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == trafficCommand {
		if err := traffic(os.Args[2:]); err != nil {
			fail(err)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

func run(ctx context.Context) error {
	var s setting
	var names []string
	for _, p := range parts() {
		names = append(names, p.name)
	}
	only := flag.String("parts", "", "measure only these of "+strings.Join(names, ","))
	out := flag.String("out", "", "file for the figures, as JSON")
	against := flag.String("against", "", "file of before, to show what is worse")
	here := flag.Bool("here", false, "measure this machine, instead of a test host")
	flag.BoolVar(&s.Short, "short", false, "few rounds, and not the parts that take long")
	flag.StringVar(&s.Socket, "socket", "", "socket of a plugin that runs, to measure that one (with --here)")
	flag.StringVar(&s.Driver, "driver", "", "its name for docker network create")
	flag.StringVar(&s.NB, "nb", "tcp:127.0.0.1:6641", "northbound database (with --here)")
	flag.StringVar(&s.SB, "sb", "tcp:127.0.0.1:6642", "southbound database (with --here)")
	flag.StringVar(&s.Binary, "binary", "", "the plugin's binary, to start it (with --here)")
	flag.StringVar(&s.Plugin, "plugin", "", "the plugin's folder, as docker plugin create takes it (with --here)")
	flag.Parse()

	var wanted []part
	for _, p := range parts() {
		if *only == "" && (!s.Short || !p.long) || slices.Contains(strings.Split(*only, ","), p.name) {
			wanted = append(wanted, p)
		}
	}
	if len(wanted) == 0 {
		return fmt.Errorf("no such part: %q (there are: %s)", *only, strings.Join(names, ","))
	}
	measure := func(ctx context.Context, p part) ([]row, error) { return alone(ctx, s, p) }
	if !*here {
		h, done, err := testHost(ctx)
		if err != nil {
			return err
		}
		defer done()
		measure = func(ctx context.Context, p part) ([]row, error) { return within(ctx, h, p.name, s.Short) }
	}
	rows := []row{}
	var failed []error
	for _, p := range wanted {
		began := time.Now()
		taken, err := measure(ctx, p)
		for i := range taken {
			taken[i].Part = p.name
		}
		rows = append(rows, taken...)
		if err != nil {
			failed = append(failed, fmt.Errorf("measuring %q: %w", p.name, err))
		}
		fmt.Fprintf(os.Stderr, "%s: %s\n", p.name, time.Since(began).Round(time.Second))
	}
	if inner := os.Getenv(innerVariable) != ""; inner {
		return errors.Join(append(failed, json.NewEncoder(os.Stdout).Encode(rows))...)
	}
	failed = append(failed, show(os.Stdout, rows))
	if *out != "" {
		failed = append(failed, write(*out, document{Taken: time.Now().UTC().Truncate(time.Second), Short: s.Short, Rows: rows}))
	}
	if *against != "" {
		failed = append(failed, compare(os.Stdout, rows, *against))
	}
	return errors.Join(failed...)
}

// alone measures a part with a plugin that has nothing yet.
func alone(ctx context.Context, s setting, of part) ([]row, error) {
	p, err := begin(ctx, s)
	if err != nil {
		return nil, err
	}
	defer p.end()
	rows, err := of.measure(ctx, p)
	if err == nil {
		err = left(ctx, s)
	}
	return rows, err
}

const (
	folder = "/var/tmp/bench"
	self   = folder + "/bench"
	// innerVariable is set for the process in the test host, whose output is for this program.
	innerVariable = "BENCH_INNER"
)

// testHost makes a host with OVN, and brings in what is to be measured.
func testHost(ctx context.Context) (host.Host, func(), error) {
	spec := host.Spec{Name: "bench", Hosts: []host.Options{{Name: "bench", OVS: true, Docker: true, Images: true, Tunnels: true}}}
	if why := host.Missing(spec); why != "" {
		return nil, nil, errors.New(why)
	}
	c, err := host.Up(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	done := func() {
		if err := c.Down(context.WithoutCancel(ctx)); err != nil {
			fmt.Fprintln(os.Stderr, "bench: taking the host down:", err)
		}
	}
	h := c.Hosts()[0]
	if err := furnish(ctx, h); err != nil {
		done()
		return nil, nil, err
	}
	return h, done, nil
}

func furnish(ctx context.Context, h host.Host) error {
	own, err := os.Executable()
	if err != nil {
		return err
	}
	for remote, local := range map[string]string{
		self: own, folder + "/plugin": host.PluginDir(), folder + "/ovs-container-network": filepath.Join(host.PluginDir(), "..", "ovs-container-network"),
	} {
		if err := h.CopyIn(ctx, local, remote); err != nil {
			return err
		}
	}
	for _, argv := range [][]string{
		{"/usr/share/ovn/scripts/ovn-ctl", "start_northd", "--db-nb-addr=" + h.Address(), "--db-sb-addr=" + h.Address(), "--db-nb-create-insecure-remote=yes", "--db-sb-create-insecure-remote=yes"},
		{"ovn-nbctl", "--wait=sb", "sync"},
		{"/usr/share/ovn/scripts/ovn-ctl", "start_controller"},
	} {
		if _, err := h.Run(ctx, argv...); err != nil {
			return err
		}
	}
	return nil
}

// within measures a part in the host.
func within(ctx context.Context, h host.Host, name string, short bool) ([]row, error) {
	out, err := h.Run(ctx, "env", innerVariable+"=1", self, "--here", "--parts="+name, fmt.Sprintf("--short=%t", short),
		"--nb=tcp:"+h.Address()+":6641", "--sb=tcp:"+h.Address()+":6642", "--binary="+folder+"/ovs-container-network", "--plugin="+folder+"/plugin")
	var rows []row
	if begin := strings.Index(out, "["); begin >= 0 {
		if bad := json.Unmarshal([]byte(out[begin:]), &rows); bad != nil {
			err = errors.Join(err, bad)
		}
	}
	return rows, err
}
