package reconcile_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
	"github.com/ovs-container-lab/ovs-container-network/pkg/lifecycle"
	"github.com/ovs-container-lab/ovs-container-network/pkg/reconcile"
	"github.com/ovs-container-lab/ovs-container-network/pkg/store"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// The views follow the records a moment later, and one that an earlier process
// left of a network that is gone is removed.
func TestViews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.TempDir(), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		networks, err := store.NewCollection[topology.Network](s, "networks")
		if err != nil {
			t.Fatal(err)
		}
		endpoints, err := store.NewCollection[topology.Endpoint](s, "endpoints")
		if err != nil {
			t.Fatal(err)
		}
		pools, err := store.NewCollection[ipam.Pool](s, "pools")
		if err != nil {
			t.Fatal(err)
		}
		if err := s.WriteView("ipam/old-pool.json", 1); err != nil {
			t.Fatal(err)
		}
		v := reconcile.NewViews(s, zaptest.NewLogger(t))
		v.Records = lifecycle.New(lifecycle.Config{Networks: networks, Endpoints: endpoints, Pools: pools})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { v.Run(ctx); close(done) }()

		n := store.Record[topology.Network]{Phase: store.Ready, Data: topology.Network{ID: "n"}}
		e := store.Record[topology.Endpoint]{Phase: store.Ready, Data: topology.Endpoint{
			ID: "e", NetworkID: "n", Addresses: []netip.Prefix{netip.MustParsePrefix("10.1.0.2/16")},
		}}
		if err := networks.Put("n", n); err != nil {
			t.Fatal(err)
		}
		if err := endpoints.Put("e", e); err != nil {
			t.Fatal(err)
		}
		v.Changed()
		<-time.After(time.Second)
		pool := filepath.Join(s.Dir(), "ipam", "n-pool.json")
		if text, err := os.ReadFile(pool); err != nil || !strings.Contains(string(text), `"10.1.0.2": "e"`) {
			t.Errorf("pool %s: %v", text, err)
		}
		if _, err := os.Stat(filepath.Join(s.Dir(), "ipam", "old-pool.json")); !os.IsNotExist(err) {
			t.Errorf("the old view: %v", err)
		}
		// What has not changed is not written again.
		if err := os.Remove(pool); err != nil {
			t.Fatal(err)
		}
		v.Changed()
		<-time.After(time.Second)
		if _, err := os.Stat(pool); !os.IsNotExist(err) {
			t.Errorf("a view was written that had not changed: %v", err)
		}
		if err := networks.Delete("n"); err != nil {
			t.Fatal(err)
		}
		stop() // writes once more
		<-done
		if _, err := os.Stat(pool); !os.IsNotExist(err) {
			t.Errorf("the view of a network that is gone: %v", err)
		}
	})
}
