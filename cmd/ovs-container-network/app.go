package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/central"
	"github.com/ovs-container-lab/ovs-container-network/pkg/config"
	"github.com/ovs-container-lab/ovs-container-network/pkg/control"
	"github.com/ovs-container-lab/ovs-container-network/pkg/driver"
	"github.com/ovs-container-lab/ovs-container-network/pkg/executor"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
	"github.com/ovs-container-lab/ovs-container-network/pkg/keylock"
	"github.com/ovs-container-lab/ovs-container-network/pkg/lifecycle"
	"github.com/ovs-container-lab/ovs-container-network/pkg/membership"
	"github.com/ovs-container-lab/ovs-container-network/pkg/ovsdb"
	"github.com/ovs-container-lab/ovs-container-network/pkg/reconcile"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// app is the plugin, put together.
type app struct {
	cfg     config.Config
	log     *zap.Logger
	started time.Time
	ready   chan struct{}
	refusal error // why nothing can be served

	run        *executor.Executor
	store      *store.Store
	membership *membership.Membership
	central    *central.Central
	records    *lifecycle.Records
	outages    *reconcile.Outages
	reconciler *reconcile.Reconciler
	views      *reconcile.Views
	driver     *driver.Driver
}

// newApp puts the plugin together. What goes wrong is kept as the refusal that
// every request is answered with.
func newApp(cfg config.Config, configErr error, log *zap.Logger) *app {
	a := &app{cfg: cfg, log: log, started: time.Now(), ready: make(chan struct{}), run: executor.New(log)}
	a.run.Sysctl = cfg.Sysctl
	err := configErr
	if err == nil {
		err = a.open()
	}
	if err != nil {
		a.refusal = fmt.Errorf("the plugin cannot serve: %w", err)
		a.driver = driver.New(driver.Config{Log: log})
		log.Error("refusing every request", zap.Error(err))
		return a
	}
	return a
}

// open opens the state, and makes what works with it.
func (a *app) open() error {
	s, err := store.Open(a.cfg.DataDir, store.Options{Backup: a.cfg.StateBackup, Mode: store.Mode(a.cfg.RecoveryMode)})
	if err != nil {
		return err
	}
	a.store = s
	networks, err := store.NewCollection[topology.Network](s, "networks")
	if err != nil {
		return err
	}
	endpoints, err := store.NewCollection[topology.Endpoint](s, "endpoints")
	if err != nil {
		return err
	}
	pools, err := store.NewCollection[ipam.Pool](s, "pools")
	if err != nil {
		return err
	}
	if err := keepInstance(s, networks, a.log); err != nil {
		return err
	}
	for _, d := range s.Report().Dropped {
		a.log.Warn("state file not used", zap.Stringer("file", d))
	}
	for _, problem := range s.Report().Problems {
		a.log.Warn("state not backed up", zap.String("reason", problem))
	}
	if a.membership, err = membership.Open(s, a.run); err != nil {
		return err
	}
	a.run.TLS = a.membership.Folder
	// Beside the control socket, which is where the host's own programs put theirs, and short.
	a.run.Run = filepath.Join(filepath.Dir(a.cfg.ControlSocket), "ovn-nbctl-"+s.Instance()[:8])
	a.run.Sweep()
	if a.central, err = central.New(central.Config{
		DockerHost: a.cfg.DockerHost, Image: a.cfg.OVNImage, HostRun: a.cfg.HostRun, Socket: a.cfg.Socket,
		Publish: a.cfg.CentralPublish, Insecure: a.cfg.CentralInsecure, Joined: a.joined,
	}, a.run, a.log); err != nil {
		return err
	}
	a.views = reconcile.NewViews(s, a.log)
	a.outages = reconcile.NewOutages(func(ctx context.Context, nb string) error {
		if nb == "" {
			return a.run.DatabaseReady(ctx, a.cfg.OVSDB, ovsdb.Local)
		}
		return a.run.DatabaseReady(ctx, nb, ovsdb.Northbound)
	})
	locks := &keylock.Locks{}
	_, err = os.Stat("/proc/sys/net/ipv6")
	publish := ""
	if a.cfg.CentralPublish.IsValid() {
		publish = a.cfg.CentralPublish.String()
	}
	host := topology.Host{OVSDB: a.cfg.OVSDB, IPv6: err == nil, Run: a.cfg.HostRun}
	a.records = lifecycle.New(lifecycle.Config{
		Run: a.run, Outages: a.outages, Networks: networks, Endpoints: endpoints, Pools: pools, Locks: locks, Host: host, Instance: s.Instance(),
		BridgeMappings: a.cfg.BridgeMappings, Published: publish, FailWhenDown: a.cfg.OVNDown == config.OVNDownFail, Changed: a.changed, Log: a.log,
		Translated: func() { a.reconciler.Reroute() },
	})
	a.records.HoldPorts()
	a.views.Records = a.records
	a.reconciler = reconcile.New(reconcile.Config{
		Run: a.run, Records: a.records, Outages: a.outages, Store: s, Docker: a.central, Mode: string(a.cfg.RecoveryMode), Log: a.log,
		Rebuild: a.rebuild,
	})
	a.driver = driver.New(driver.Config{
		Run: a.run, Central: a.central, Records: a.records, Locks: locks, Instance: s.Instance(), Host: host, Ready: a.ready,
		Rebuilt: a.reconciler.Rebuilt(), Log: a.log,
	})
	return nil
}

// keepInstance takes the instance from the records when they all have one that
// is not the store's: its file alone was lost, and by the new one that took its
// place, the rows in OVN would be another plugin's.
func keepInstance(s *store.Store, networks *store.Collection[topology.Network], log *zap.Logger) error {
	all := map[string]bool{}
	for _, n := range networks.List() {
		all[n.Data.Instance] = true
	}
	if len(all) != 1 || all[s.Instance()] {
		return nil
	}
	for id := range all {
		if uuid.Validate(id) != nil {
			continue
		}
		log.Warn("the identity of this plugin was lost, and is taken from its records", zap.String("instance", id))
		if err := s.AdoptInstance(id); err != nil {
			return err
		}
	}
	return nil
}

// changed is told of every change of a record.
func (a *app) changed() {
	a.views.Changed()
	a.reconciler.Changed()
}

// start begins recovery and the work that goes on beside the requests.
func (a *app) start(ctx context.Context, background *sync.WaitGroup) {
	if a.refusal != nil {
		return
	}
	background.Go(func() {
		a.reconciler.Recover(ctx)
		close(a.ready)
		background.Go(func() { a.reconciler.Keep(ctx) })
		background.Go(func() { a.reconciler.Mind(ctx) })
		background.Go(func() { a.reconciler.Learn(ctx) })
		background.Go(func() { a.share(ctx) })
		a.reconciler.Watch(ctx)
	})
	background.Go(func() { a.views.Run(ctx) })
	a.views.Changed()
}

func (a *app) close() {
	a.run.Close()
	if a.central != nil {
		if err := a.central.Close(); err != nil {
			a.log.Warn("closing the Docker client", zap.Error(err))
		}
	}
	if a.store != nil {
		if err := a.store.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			a.log.Warn("closing the state", zap.Error(err))
		}
	}
}

// Status answers the status command.
func (a *app) Status(ctx context.Context) control.Status {
	s := control.Status{Version: version, Started: a.started, OVS: "ok", Databases: []control.DB{}, Networks: []control.Network{}}
	if err := a.run.DatabaseReady(ctx, a.cfg.OVSDB, ovsdb.Local); err != nil {
		s.OVS = err.Error()
	}
	if a.refusal != nil {
		s.Refusal = a.refusal.Error()
		return s
	}
	s.Instance = a.store.Instance()
	select {
	case <-a.ready:
		s.Ready = true
	default:
	}
	s.Certificate = a.certificate(time.Now())
	s.Published = a.central.Offer(ctx)
	s.Recovery = a.reconciler.Report()
	index := map[string]int{}
	seen := map[string]bool{}
	away := a.outages.List()
	for id, n := range a.records.Networks.List() {
		index[id] = len(s.Networks)
		s.Networks = append(s.Networks, describe(n))
		if nb := n.Data.NB; nb != "" && !seen[nb] {
			seen[nb] = true
			s.Databases = append(s.Databases, a.database(ctx, nb, away))
		}
	}
	for _, e := range a.records.Endpoints.List() {
		for _, p := range e.Data.Ports {
			s.Ports = append(s.Ports, control.Port{Endpoint: e.Data.ID, Network: e.Data.NetworkID, Port: p.String()})
		}
		if a := e.Data.FloatingIP; a.IsValid() {
			s.Ports = append(s.Ports, control.Port{Endpoint: e.Data.ID, Network: e.Data.NetworkID, Port: a.String()})
		}
		i, ok := index[e.Data.NetworkID]
		switch {
		case !ok:
		case e.Phase == store.Deleting:
			s.Networks[i].Removing++
		default:
			s.Networks[i].Endpoints++
			if e.Data.Deferred {
				s.Networks[i].Deferred++
			}
		}
	}
	slices.SortFunc(s.Networks, func(x, y control.Network) int { return cmp.Compare(x.ID, y.ID) })
	slices.SortFunc(s.Ports, func(x, y control.Port) int { return cmp.Compare(x.Endpoint+x.Port, y.Endpoint+y.Port) })
	slices.SortFunc(s.Databases, func(x, y control.DB) int { return cmp.Compare(x.Connection, y.Connection) })
	return s
}

// describe is what status says of a network, without its endpoints.
func describe(n store.Record[topology.Network]) control.Network {
	d := n.Data
	c := control.Network{
		ID: d.ID, Name: d.Name, Switch: string(d.Switch()), Router: string(d.Router()), Tenant: d.Options.TenantID, Phase: string(n.Phase), MTU: d.MTU,
	}
	if d.Options.Mirrors() {
		c.Mirror = cmp.Or(strings.Join(d.Options.MirrorPorts, ","), "containers that ask for it") + " > " + d.Options.MirrorDest
	}
	switch {
	case d.Transit != nil:
		c.Transit = string(d.Transit.Switch)
	case d.Options.TransitNetwork != "":
		c.Transit = "waits for " + d.Options.TransitNetwork
	}
	return c
}

// Change answers the set command.
func (a *app) Change(ctx context.Context, c control.Change) (control.Network, error) {
	if a.refusal != nil {
		return control.Network{}, a.refusal
	}
	select {
	case <-a.ready:
	case <-ctx.Done():
		return control.Network{}, fmt.Errorf("waiting for recovery to end: %w", context.Cause(ctx))
	}
	n, err := a.records.Change(ctx, c.Network, c.Options)
	if err != nil {
		return control.Network{}, err
	}
	a.log.Info("network changed", zap.String("network", n.ID), zap.Any("options", c.Options), zap.Int("mtu", n.MTU))
	a.reconciler.Wake() // for what OVN's DHCP and its routers tell of it
	return describe(store.Record[topology.Network]{Phase: store.Ready, Data: n}), nil
}

// Reconcile answers the reconcile command.
func (a *app) Reconcile(ctx context.Context) (reconcile.Report, error) {
	if a.refusal != nil {
		return reconcile.Report{}, a.refusal
	}
	select {
	case <-a.ready:
	case <-ctx.Done():
		return a.reconciler.Report(), fmt.Errorf("waiting for recovery to end: %w", context.Cause(ctx))
	}
	return a.reconciler.Reconcile(ctx)
}

// database asks a database that is not known to be away whether it answers.
func (a *app) database(ctx context.Context, nb string, away map[string]time.Time) control.DB {
	since, down := away[nb]
	if !down {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if a.run.DatabaseReady(ctx, nb, ovsdb.Northbound) == nil {
			return control.DB{Connection: nb}
		}
		since = time.Now()
		a.outages.Report(nb)
	}
	return control.DB{Connection: nb, Away: &since}
}
